/** @file facekp.h
 *  libfacekp: 68 facial keypoints in a face crop, on an ordinary CPU.
 *
 *  The way of the data: a weights file becomes a @ref facekp_model; a model opens any number of sessions; a
 *  @ref facekp_session turns images into points. Three levels, each usable alone:
 *    - images in, points out:      facekp_session_predict()
 *    - tensor in, raw output out:  facekp_session_run()
 *    - raw output in, points out:  facekp_decode_regression(), facekp_decode_heatmaps()
 *
 *  **Units.** Pixel coordinates: the centre of the first pixel is (0, 0), x to the right, y down; points are
 *  stored x0, y0, x1, y1, … in the order of the iBUG 300-W annotation (jaw 0-16, brows 17-26, nose 27-35,
 * eyes 36-47, mouth 48-67). Strides are bytes from one row to the next and may be negative. Tensors are
 * float32, N x C x H x W, dense.
 *
 *  **Threads.**
 *  | object         | rule |
 *  |----------------|------|
 *  | facekp_model   | immutable after load: any number of threads at a time |
 *  | facekp_session | one thread at a time; sessions of one model run side by side |
 *  | facekp_picture | one thread at a time |
 *  | *_free         | when no other call is inside the handle; a model may be freed before its sessions |
 *
 *  The library has no global state. Results of a model are the same bits for any number of threads on one
 *  instruction set, and those of two loads too, unless @ref facekp_load_options.measure was asked for. The
 * caller's floating-point state (rounding, traps, flags) neither matters to a call nor is changed by it.
 *
 *  **Errors.** Every function that can fail returns a @ref facekp_status; outputs are written only on success
 *  and handles are set to NULL on failure. facekp_status_string() names a status; the message of the last
 *  failure of a session is facekp_session_message(), that of a load goes to the buffer named in the load
 *  options.
 *
 *  **Structs.** Set `struct_size` to `sizeof` of the struct (the `_INIT` macros and `_init` functions do) and
 *  leave every other field zero: zero is the default of every field, for ever. A NULL pointer to options
 * means all defaults. A program built against an older header passes a smaller struct, which stays good; one
 * built against a newer header passes a larger one, which is good while what this library does not know is
 * zero (else @ref FACEKP_ERROR_UNSUPPORTED). Of a struct that the library fills, what it does not know
 * becomes zero.
 */
#ifndef FACEKP_FACEKP_H
#define FACEKP_FACEKP_H

#include <stddef.h>
#include <stdint.h>

#include "facekp/version.h"

#ifdef __cplusplus
extern "C" {
#endif

/** @defgroup status Status codes
 *  @{ */

/** Result of a call: 0 is success, negative values are errors. The numbers are frozen. */
typedef int32_t facekp_status;
/** The values of a @ref facekp_status. */
enum {
    FACEKP_OK = 0,                  /**< success */
    FACEKP_ERROR_ARGUMENT = -10,    /**< a NULL, an empty size, a value outside its documented range */
    FACEKP_ERROR_STRUCT_SIZE = -11, /**< a struct_size that no version of the library has had */
    FACEKP_ERROR_BUFFER = -12,      /**< the caller's buffer is too small */
    FACEKP_ERROR_MEMORY = -20,      /**< an allocation failed */
    FACEKP_ERROR_LIMIT = -21,       /**< the input asks for more than a fixed, documented limit */
    FACEKP_ERROR_THREAD = -22,      /**< a thread could not be started */
    FACEKP_ERROR_OPEN = -30,        /**< a file could not be opened */
    FACEKP_ERROR_READ = -31,        /**< reading a file failed */
    FACEKP_ERROR_WRITE = -32,       /**< writing, flushing or renaming a file failed */
    FACEKP_ERROR_FORMAT = -40,      /**< a file is not what it should be, or is damaged */
    FACEKP_ERROR_TRUNCATED = -41,   /**< a file ends before its contents do */
    FACEKP_ERROR_TENSOR = -42,      /**< a tensor is missing, unexpected or of the wrong shape */
    FACEKP_ERROR_VALUE = -43,       /**< a NaN or infinity where a number is needed */
    FACEKP_ERROR_UNSUPPORTED = -50, /**< understood, but not supported by this version */
    FACEKP_ERROR_STATE = -60,       /**< the call is not allowed in the handle's present state */
    FACEKP_ERROR_CANCELLED = -61    /**< a callback asked to stop */
};

/** A short English name of a status, for example "file could not be opened"; never NULL, static storage. */
FACEKP_API const char *facekp_status_string(facekp_status status);

/** @}
 *  @defgroup constants Constants and versions
 *  @{ */

#define FACEKP_KEYPOINTS 68     /**< keypoints of the shipped architectures */
#define FACEKP_INPUT_SIZE 224   /**< side of the network's input, in pixels */
#define FACEKP_THREADS_ALL (-1) /**< as many threads as cores that this thread may run on */

/** @ref FACEKP_KEYPOINTS for callers that cannot read macros. */
FACEKP_API int32_t facekp_keypoint_count(void);
/** @ref FACEKP_INPUT_SIZE for callers that cannot read macros. */
FACEKP_API int32_t facekp_input_size(void);

/** The version the library was built as: major * 10000 + minor * 100 + patch. */
FACEKP_API int32_t facekp_version(void);
/** The same as text, for example "0.1.0"; static storage. */
FACEKP_API const char *facekp_version_string(void);

/** @}
 *  @defgroup hooks What the host may bring
 *  @{ */

/** Memory of the host. Both functions are called only from threads that are inside a call of the library. */
typedef struct facekp_allocator {
    size_t struct_size; /**< sizeof(facekp_allocator) */
    void *user;         /**< handed to both functions */
    /** At least `size` bytes aligned to `alignment` (a power of two, at most 4096), or NULL. */
    void *(*allocate)(void *user, size_t size, size_t alignment);
    /** Takes back what `allocate` gave, with the same size. */
    void (*release)(void *user, void *pointer, size_t size);
} facekp_allocator;

/** One piece of work: called with each index in [0, count) exactly once. */
typedef void (*facekp_task)(void *argument, size_t index);

/** Threads of the host: runs `task(argument, i)` for every i in [0, count), in any order, on any threads, and
 *  returns when all have returned. */
typedef void (*facekp_parallel_for)(void *user, size_t count, facekp_task task, void *argument);

/** Levels of @ref facekp_log. */
enum {
    FACEKP_LOG_WARNING = 1, /**< something a person should look at */
    FACEKP_LOG_INFO = 2     /**< something a person may want to know */
};
/** Receives notes worth telling a person (tensors not used, for example). `message` lives during the call. */
typedef void (*facekp_log)(void *user, int32_t level, const char *message);

/** @}
 *  @defgroup model Model
 *  @{ */

/** A network with its weights, ready to compute. Immutable; any number of threads may use it at a time. */
typedef struct facekp_model facekp_model;

/** Architectures. */
enum {
    FACEKP_ARCHITECTURE_AUTO = 0, /**< the file's metadata, else its tensors, decide */
    FACEKP_DIRECT = 1,            /**< plain convolutional regression */
    FACEKP_RESNET18 = 2,          /**< ResNet18 regression */
    FACEKP_DINO = 3,              /**< ViT-S/16 with a query or a flatten head */
    FACEKP_UNET = 4               /**< U-Net, one heatmap a keypoint */
};
/** Kinds of raw output. */
enum {
    FACEKP_OUTPUT_REGRESSION = 1, /**< keypoints x 2 normalised coordinates */
    FACEKP_OUTPUT_HEATMAPS = 2    /**< keypoints x height x width logits */
};
/** Element types of weights files. */
enum {
    FACEKP_DTYPE_DEFAULT = 0, /**< as each tensor is */
    FACEKP_F32 = 1,           /**< IEEE binary32 */
    FACEKP_F16 = 2,           /**< IEEE binary16 */
    FACEKP_BF16 = 3           /**< bfloat16 */
};
/** What a 3-channel first layer expects of its input, when it is adapted to one gray channel. */
enum {
    FACEKP_NORMALIZATION_DEFAULT = 0, /**< the file's metadata, else ImageNet */
    FACEKP_NORMALIZATION_NONE = 1,    /**< gray in [0, 1] copied to three channels: exact at every pixel */
    /** ImageNet mean and deviation; exact but for the zero padding at the border. */
    FACEKP_NORMALIZATION_IMAGENET = 2
};

/** Options of facekp_model_load(), facekp_model_load_memory() and facekp_convert(). */
typedef struct facekp_load_options {
    size_t struct_size;                /**< sizeof(facekp_load_options) */
    const facekp_allocator *allocator; /**< copied; NULL: the C library's */
    facekp_log log;                    /**< NULL: silence */
    void *log_user;                    /**< handed to `log` */
    char *message;          /**< caller's buffer for the message of a failure, NUL-terminated; may be NULL */
    size_t message_size;    /**< bytes in `message` */
    int32_t architecture;   /**< FACEKP_ARCHITECTURE_AUTO, or what the file is to be taken for */
    int32_t normalization;  /**< of a 3-channel first layer */
    int32_t random_weights; /**< not 0: read no file; fill the named architecture from `seed` */
    int32_t activation;     /**< direct only, when the file does not say: 0 or 2 ELU, 1 ReLU */
    uint64_t seed;          /**< of random weights */
    /** Highest instruction set to use: "portable", "avx2", "avx512", "amx"; NULL: the best there is.
     *  "amx" multiplies numbers taken apart into two bfloat16: outputs err by about 1e-5, with the others,
     * which keep to float32, by a half to a tenth of that. The environment variable FACEKP_CPU lowers it
     * further. */
    const char *cpu;
    /** Not 0: time the algorithms that can compute each convolution, now, on the calling thread, and take the
     *  fastest, instead of the one that a model of costs names. One image at a time is measured, so it is of
     *  least use to sessions with a large `batch`. The load takes as much longer as five to fifteen
     * predictions on one thread, and while it lasts needs about the memory of a session. Two loads may choose
     *  differently, and then differ in the last bits of their results; sessions of one model never do. */
    int32_t measure;
    int32_t reserved; /**< 0 */
} facekp_load_options;
/** Initial value of a @ref facekp_load_options. */
#define FACEKP_LOAD_OPTIONS_INIT                                                                             \
    { sizeof(facekp_load_options), NULL, NULL, NULL, NULL, 0, 0, 0, 0, 0, 0, NULL, 0, 0 }
/** The same for callers that cannot read macros; struct_size is the size that the caller reserved. */
FACEKP_API void facekp_load_options_init(facekp_load_options *options, size_t struct_size);

/** Loads a weights file: safetensors, or a PyTorch checkpoint in any of its containers (zip, legacy, tar).
 *  @param path     UTF-8, not kept. With `random_weights` it is not read and may be NULL.
 *  @param options  may be NULL.
 *  @param model    receives the model, to be freed with facekp_model_free(); NULL on failure. */
FACEKP_API FACEKP_CHECK_RESULT facekp_status facekp_model_load(const char *path,
                                                               const facekp_load_options *options,
                                                               facekp_model **model);
/** The same from memory; the bytes are not needed after the call. */
FACEKP_API FACEKP_CHECK_RESULT facekp_status facekp_model_load_memory(const void *data, size_t size,
                                                                      const facekp_load_options *options,
                                                                      facekp_model **model);
/** Gives up the caller's hold; the memory goes when the last session of the model is freed too. NULL is fine.
 */
FACEKP_API void facekp_model_free(facekp_model *model);

/** What a model is. Strings live as long as the model. */
typedef struct facekp_model_info {
    size_t struct_size;        /**< sizeof(facekp_model_info), set by the caller */
    const char *architecture;  /**< "direct", "resnet18", "dino", "unet" */
    const char *variant;       /**< "elu", "relu", "query", "flatten", "width 32", … */
    const char *license;       /**< from the file's metadata; "" if it says nothing */
    const char *training_data; /**< the same */
    const char *precision;     /**< element type of most of the weights in the file: "F32", "F16", … */
    const char *cpu;           /**< instruction set the model computes with */
    int32_t architecture_id;   /**< FACEKP_DIRECT … */
    int32_t keypoints;         /**< keypoints it finds */
    int32_t input_width;       /**< pixels of the crop it reads */
    int32_t input_height;      /**< pixels of the crop it reads */
    int32_t output_kind;       /**< FACEKP_OUTPUT_REGRESSION or FACEKP_OUTPUT_HEATMAPS */
    int32_t output_width;      /**< of a heatmap; 2 for a regression */
    int32_t output_height;     /**< of a heatmap; 1 for a regression */
    int32_t reserved;          /**< 0 */
    uint64_t parameters;       /**< trainable numbers */
    uint64_t multiply_adds;    /**< per image, in direct form */
    uint64_t weight_bytes;     /**< memory of the packed weights */
    double label_bias_px[2];   /**< constant offset of the training labels, pixels of the 224 crop */
} facekp_model_info;
/** Initial value of a @ref facekp_model_info. */
#define FACEKP_MODEL_INFO_INIT                                                                               \
    {                                                                                                        \
        sizeof(facekp_model_info), NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, {    \
            0, 0                                                                                             \
        }                                                                                                    \
    }
/** Describes a model. */
FACEKP_API FACEKP_CHECK_RESULT facekp_status facekp_model_get_info(const facekp_model *model,
                                                                   facekp_model_info *info);

/** Floats of the raw output for one image; 0 for NULL. */
FACEKP_API size_t facekp_model_output_count(const facekp_model *model);

/** One line of the layer table of a model. */
typedef struct facekp_layer_info {
    size_t struct_size;     /**< sizeof(facekp_layer_info), set by the caller */
    const char *name;       /**< the state-dict prefix; "" where the layer has no parameters */
    const char *kind;       /**< "convolution", "linear", … */
    int32_t channels;       /**< of its output */
    int32_t height;         /**< of its output; tokens are counted here */
    int32_t width;          /**< of its output */
    int32_t reserved;       /**< 0 */
    uint64_t parameters;    /**< trainable numbers */
    uint64_t multiply_adds; /**< per image, in direct form */
} facekp_layer_info;
/** Initial value of a @ref facekp_layer_info. */
#define FACEKP_LAYER_INFO_INIT                                                                               \
    { sizeof(facekp_layer_info), NULL, NULL, 0, 0, 0, 0, 0, 0 }
/** Layers of a model as its paper counts them, before BatchNorm and activations are folded away; 0 for NULL.
 */
FACEKP_API int32_t facekp_model_layer_count(const facekp_model *model);
/** Describes layer `index` in [0, facekp_model_layer_count()). */
FACEKP_API FACEKP_CHECK_RESULT facekp_status facekp_model_get_layer(const facekp_model *model, int32_t index,
                                                                    facekp_layer_info *info);

/** Reads a weights file of any supported format and writes it as safetensors, with metadata that names the
 *  architecture. The new file appears whole or not at all.
 *  @param input    path of the file to read.
 *  @param output   path of the file to write; may be the same.
 *  @param dtype    element type to write, FACEKP_DTYPE_DEFAULT: as each tensor is.
 *  @param options  allocator, log, message and architecture are used; may be NULL. */
FACEKP_API FACEKP_CHECK_RESULT facekp_status facekp_convert(const char *input, const char *output,
                                                            int32_t dtype,
                                                            const facekp_load_options *options);

/** @}
 *  @defgroup session Session
 *  @{ */

/** The memory and threads of one stream of work on a model. One thread at a time. */
typedef struct facekp_session facekp_session;

/** Options of facekp_session_open(). */
typedef struct facekp_session_options {
    size_t struct_size;                /**< sizeof(facekp_session_options) */
    const facekp_allocator *allocator; /**< copied; NULL: the model's */
    /** NULL: threads of the library's own. On Linux these may change the set of cores that they run on, their
     * own only, for a moment: to leave a core that another program keeps busy. */
    facekp_parallel_for parallel_for;
    void *parallel_user; /**< handed to `parallel_for` */
    int32_t threads;     /**< 0 or 1: the caller's thread alone; FACEKP_THREADS_ALL; at most 256 */
    /** Faces computed together, 1 to 64; 0 is 1. Larger requests are cut into batches. How many share a batch
     * may change the last bits of a result. */
    int32_t batch;
} facekp_session_options;
/** Initial value of a @ref facekp_session_options. */
#define FACEKP_SESSION_OPTIONS_INIT                                                                          \
    { sizeof(facekp_session_options), NULL, NULL, NULL, 0, 0 }
/** The same for callers that cannot read macros; struct_size is the size that the caller reserved. */
FACEKP_API void facekp_session_options_init(facekp_session_options *options, size_t struct_size);

/** Opens a session: all memory and threads it will ever need are taken here. It holds the model.
 *  @param model    the model to run.
 *  @param options  may be NULL.
 *  @param session  receives the session, to be freed with facekp_session_free(); NULL on failure. */
FACEKP_API FACEKP_CHECK_RESULT facekp_status facekp_session_open(facekp_model *model,
                                                                 const facekp_session_options *options,
                                                                 facekp_session **session);
/** Ends the session's threads and frees its memory. NULL is fine. */
FACEKP_API void facekp_session_free(facekp_session *session);
/** The message of the last call that failed on this session, or of the last face that failed in a call that
 *  reports by face; "" if none has. Lives until the next call on the session. */
FACEKP_API const char *facekp_session_message(const facekp_session *session);
/** Bytes of working memory the session holds, the model's weights not counted; 0 for NULL. */
FACEKP_API size_t facekp_session_memory(const facekp_session *session);

/** Tensor in, raw output out.
 *  @param session        the session.
 *  @param input          count x 1 x input_height x input_width, gray in [0, 1].
 *  @param count          images, at least 1.
 *  @param output         count x facekp_model_output_count() floats: normalised x, y per keypoint, or heatmap
 *                        logits, keypoints x height x width.
 *  @param output_floats  floats that `output` has room for. */
FACEKP_API FACEKP_CHECK_RESULT facekp_status facekp_session_run(facekp_session *session, const float *input,
                                                                size_t count, float *output,
                                                                size_t output_floats);

/** @}
 *  @defgroup predict Images to points
 *  @{ */

/** Pixel formats. */
enum {
    FACEKP_GRAY8 = 1, /**< also the luma plane of NV12, NV21 and I420 */
    FACEKP_RGB8 = 2,  /**< red, green, blue: 3 bytes */
    FACEKP_BGR8 = 3,  /**< blue, green, red: 3 bytes */
    FACEKP_RGBA8 = 4, /**< red, green, blue and a fourth byte that is not read */
    FACEKP_BGRA8 = 5, /**< blue, green, red and a fourth byte that is not read */
    FACEKP_GRAYF = 6  /**< float, 0 to 1 */
};

/** An image of the caller's. `rotation` says by how many degrees clockwise (0, 90, 180, 270) the stored
 * pixels must be turned to stand upright; boxes and points are in the coordinates of the stored pixels all
 * the same. */
typedef struct facekp_image {
    size_t struct_size; /**< sizeof(facekp_image) */
    const void *data;   /**< first byte of the top row */
    int64_t stride;     /**< bytes from row to row; 0: dense */
    int32_t width;      /**< 1 to 32767 pixels */
    int32_t height;     /**< 1 to 32767 pixels */
    int32_t format;     /**< FACEKP_GRAY8 … */
    int32_t rotation;   /**< 0, 90, 180 or 270 */
} facekp_image;
/** Initial value of a @ref facekp_image. */
#define FACEKP_IMAGE_INIT                                                                                    \
    { sizeof(facekp_image), NULL, 0, 0, 0, 0, 0 }

/** Ways of finding the point of a heatmap. */
enum {
    FACEKP_DECODE_DEFAULT = 0,     /**< local soft-argmax */
    FACEKP_DECODE_ARGMAX = 1,      /**< whole cells */
    FACEKP_DECODE_SOFT_ARGMAX = 2, /**< mean of the softmax in a window around the peak */
    FACEKP_DECODE_DARK = 3 /**< second-order Taylor step on the log-heatmap (Zhang et al., CVPR 2020) */
};
/** Options of facekp_session_predict() and facekp_decode_heatmaps(). */
typedef struct facekp_predict_options {
    size_t struct_size;      /**< sizeof(facekp_predict_options) */
    int32_t decode;          /**< FACEKP_DECODE_DEFAULT …; heatmap models only */
    int32_t window;          /**< soft-argmax: side in cells, odd, 3 to 31; 0 is 9 */
    int32_t keep_label_bias; /**< not 0: do not take the model's label_bias_px out of the points */
    int32_t second_pass;     /**< not 0: predict again, at twice the cost, on a crop around the first points,
                                  turned until the eyes are level */
} facekp_predict_options;
/** Initial value of a @ref facekp_predict_options. */
#define FACEKP_PREDICT_OPTIONS_INIT                                                                          \
    { sizeof(facekp_predict_options), 0, 0, 0, 0 }
/** The same for callers that cannot read macros; struct_size is the size that the caller reserved. */
FACEKP_API void facekp_predict_options_init(facekp_predict_options *options, size_t struct_size);

/** Where results go; every pointer is the caller's and may be NULL. For F faces and K keypoints: */
typedef struct facekp_faces {
    size_t struct_size; /**< sizeof(facekp_faces) */
    float *points;      /**< F x K x 2, pixels of the caller's image */
    /** F x K, 0 to 1. Of heatmaps: how much of the softmax lies around the peak, the network's own doubt. A
     *  regression expresses no doubt; there it is how plausible the point is within the predicted shape:
     *  exp(-d^2 / (2 (3 s)^2)) for a point d away from its place in a mean face fitted to the shape, where
     *  points of real faces have standard deviation s. That tells a face from a collapsed or impossible
     * shape, not a good fit from a slightly worse one; 0 for other than 68 keypoints. */
    float *confidences;
    float *transforms; /**< F x 6, the affine map from the 224 crop to the image: x = t0 u + t1 v + t2, y = t3
                          u + t4 v + t5 */
    int32_t *statuses; /**< F, a facekp_status each: one bad face does not spoil the others */
    float *raw;        /**< F x facekp_model_output_count(), the raw output */
} facekp_faces;
/** Initial value of a @ref facekp_faces. */
#define FACEKP_FACES_INIT                                                                                    \
    { sizeof(facekp_faces), NULL, NULL, NULL, NULL, NULL }

/** Images in, points out.
 *
 *  **Boxes.** A box (x, y, width, height, in pixels of the stored image) is tight around the 68 points: from
 *  the brows to the chin and from ear to ear along the jaw. Its longer side becomes 0.48 of the crop's side,
 * a little below the middle, which is how faces lie in the training data; scale a detector's box first if it
 *  draws a wider one. A box may reach outside the image, where the crop is black, but not lie outside of it;
 *  its sides are 1 to 131068 pixels. Without boxes the whole image is the face crop, as in the data set, and
 * the preprocessing of record is used (shorter side to 250, centre 224 x 224).
 *
 *  **Failures of a face** (a bad image or box: FACEKP_ERROR_ARGUMENT; a result that is not finite:
 *  FACEKP_ERROR_VALUE) go to `faces->statuses`, and what else belongs to that face is left untouched. Without
 *  `statuses` the first bad face ends the call with its status; bad images and boxes are then found before
 *  anything is written.
 *
 *  @param session        the session.
 *  @param images         image_count images.
 *  @param image_count    at least 1.
 *  @param boxes          4 floats a face, or NULL.
 *  @param image_of_face  for each face the index of its image. NULL: images[0] for all if there is one image,
 *                        else images[i], and image_count must be face_count.
 *  @param face_count     faces to find, at least 1.
 *  @param options        may be NULL.
 *  @param faces          receives the results. */
FACEKP_API FACEKP_CHECK_RESULT facekp_status
facekp_session_predict(facekp_session *session, const facekp_image *const *images, size_t image_count,
                       const float *boxes, const int32_t *image_of_face, size_t face_count,
                       const facekp_predict_options *options, const facekp_faces *faces);

/** @}
 *  @defgroup decode Raw output to points
 *  @{ */

/** Normalised regression output -> points in pixels of the 224 crop: p = 50 q + 100.
 *  @param raw        count x keypoints x 2.
 *  @param count      images, at least 1.
 *  @param keypoints  per image, at least 1.
 *  @param points     receives count x keypoints x 2; may be `raw`. */
FACEKP_API FACEKP_CHECK_RESULT facekp_status facekp_decode_regression(const float *raw, size_t count,
                                                                      int32_t keypoints, float *points);
/** Heatmap logits -> points in pixels of the 224 crop. A cell's centre maps to the same place of the crop:
 *  x = (c + 0.5) 224 / width - 0.5.
 *  @param logits       count x keypoints x height x width.
 *  @param count        images, at least 1.
 *  @param keypoints    per image, at least 1.
 *  @param height       cells of a map, 1 to 32767.
 *  @param width        cells of a map, 1 to 32767.
 *  @param options      `decode` and `window` are used; may be NULL.
 *  @param points       receives count x keypoints x 2.
 *  @param confidences  receives count x keypoints: the softmax mass of the window around the peak; may be
 * NULL. */
FACEKP_API FACEKP_CHECK_RESULT facekp_status facekp_decode_heatmaps(const float *logits, size_t count,
                                                                    int32_t keypoints, int32_t height,
                                                                    int32_t width,
                                                                    const facekp_predict_options *options,
                                                                    float *points, float *confidences);

/** @}
 *  @defgroup pictures Pictures
 *  What the tools read, draw on and write; not needed to find points in an image already in memory.
 *  @{ */

/** An 8-bit picture in memory. */
typedef struct facekp_picture facekp_picture;

/** Opens a PNG of any colour type and bit depth.
 *  @param path          UTF-8.
 *  @param channels      1: gray, 3: RGB.
 *  @param message       receives why it failed; may be NULL.
 *  @param message_size  bytes in `message`.
 *  @param picture       receives the picture; NULL on failure. At most 32767 pixels a side and 256 million in
 *                       all, else FACEKP_ERROR_LIMIT. */
FACEKP_API FACEKP_CHECK_RESULT facekp_status facekp_picture_read(const char *path, int32_t channels,
                                                                 char *message, size_t message_size,
                                                                 facekp_picture **picture);
/** A black picture; limits as above. */
FACEKP_API FACEKP_CHECK_RESULT facekp_status facekp_picture_create(int32_t width, int32_t height,
                                                                   int32_t channels,
                                                                   facekp_picture **picture);
/** Frees a picture. NULL is fine. */
FACEKP_API void facekp_picture_free(facekp_picture *picture);
/** Describes the picture as an image; the pixels are lent until the picture is freed. */
FACEKP_API FACEKP_CHECK_RESULT facekp_status facekp_picture_get_image(const facekp_picture *picture,
                                                                      facekp_image *image);
/** The pixels, dense, width * channels bytes a row, for writing; NULL for NULL. */
FACEKP_API uint8_t *facekp_picture_pixels(facekp_picture *picture);
/** Writes a PNG, whole or not at all; `message` and `message_size` as in facekp_picture_read(). */
FACEKP_API FACEKP_CHECK_RESULT facekp_status facekp_picture_write(const facekp_picture *picture,
                                                                  const char *path, char *message,
                                                                  size_t message_size);
/** Draws antialiased discs, clipped to the picture.
 *  @param picture  drawn on.
 *  @param points   count x 2 pixel coordinates; those that are not finite are left out.
 *  @param count    points.
 *  @param radius   pixels, above 0 and at most 32767.
 *  @param rgb      colour, 0xRRGGBB; its luma on a gray picture. */
FACEKP_API FACEKP_CHECK_RESULT facekp_status facekp_picture_draw_points(facekp_picture *picture,
                                                                        const float *points, size_t count,
                                                                        float radius, uint32_t rgb);
/** Scales the picture to width x height, antialiased, into a new one. */
FACEKP_API FACEKP_CHECK_RESULT facekp_status facekp_picture_resize(const facekp_picture *picture,
                                                                   int32_t width, int32_t height,
                                                                   facekp_picture **resized);
/** Renders one map (height x width floats) through a perceptual colour map into a new RGB picture; the
 *  smallest value is the darkest colour, the greatest the brightest, and what is not finite is darkest. */
FACEKP_API FACEKP_CHECK_RESULT facekp_status facekp_picture_from_heatmap(const float *map, int32_t width,
                                                                         int32_t height,
                                                                         facekp_picture **picture);

/** @} */

#ifdef __cplusplus
}
#endif

#endif
