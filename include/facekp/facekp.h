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
 * stored x0, y0, x1, y1, … in the order of the iBUG 300-W annotation (jaw 0-16, brows 17-26, nose 27-35, eyes
 * 36-47, mouth 48-67). Strides are bytes from one row to the next and may be negative. Tensors are float32, N
 * x C x H x W, dense.
 *
 *  **Threads.**
 *  | object         | rule |
 *  |----------------|------|
 *  | facekp_model   | immutable after load: any number of threads at a time |
 *  | facekp_session | one thread at a time; sessions of one model run side by side |
 *  | facekp_picture | one thread at a time |
 *  | *_free         | when no other call is inside the handle; a model may be freed before its sessions |
 *  The library has no global state. Results are the same bits for any number of threads on one instruction
 * set.
 *
 *  **Errors.** Every function that can fail returns a @ref facekp_status; outputs are written only on success
 * and handles are set to NULL on failure. facekp_status_string() names a status; the message of the last
 * failure of a session is facekp_session_message(), that of a load goes to the buffer named in the load
 * options.
 *
 *  **Options structs.** Set `struct_size` to `sizeof` of the struct (the `_INIT` macros and `_init` functions
 * do), leave every other field zero: zero is the default of every field, for ever. A NULL pointer means all
 * defaults.
 */
#ifndef FACEKP_FACEKP_H
#define FACEKP_FACEKP_H

#include <stddef.h>
#include <stdint.h>

#include "facekp/version.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------------------------------------ status
 * codes */

/** Result of a call: 0 is success, negative values are errors. The numbers are frozen. */
typedef int32_t facekp_status;
enum {
    FACEKP_OK = 0,
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

/* ---------------------------------------------------------------------------------------------------
 * constants */

#define FACEKP_KEYPOINTS 68     /**< keypoints of the shipped architectures */
#define FACEKP_INPUT_SIZE 224   /**< side of the network's input, in pixels */
#define FACEKP_THREADS_ALL (-1) /**< as many threads as cores that this thread may run on */

/** The constants above for callers that cannot read macros. */
FACEKP_API int32_t facekp_keypoint_count(void);
FACEKP_API int32_t facekp_input_size(void);

/** The version the library was built as: major * 10000 + minor * 100 + patch. */
FACEKP_API int32_t facekp_version(void);
/** The same as text, for example "0.1.0"; static storage. */
FACEKP_API const char *facekp_version_string(void);

/* -------------------------------------------------------------------------------------------------- host
 * hooks */

/** Memory of the host. `allocate` returns at least `size` bytes aligned to `alignment` (a power of two, at
 * most 4096), or NULL; `release` gets the same size back. Both may be called from the thread that calls the
 * library only. */
typedef struct facekp_allocator {
    size_t struct_size;
    void *user;
    void *(*allocate)(void *user, size_t size, size_t alignment);
    void (*release)(void *user, void *pointer, size_t size);
} facekp_allocator;

/** One piece of work: called with each index in [0, count) exactly once. */
typedef void (*facekp_task)(void *argument, size_t index);

/** Threads of the host: runs `task(argument, i)` for every i in [0, count), in any order, on any threads, and
 * returns when all have returned. */
typedef void (*facekp_parallel_for)(void *user, size_t count, facekp_task task, void *argument);

enum { FACEKP_LOG_WARNING = 1, FACEKP_LOG_INFO = 2 };
/** Receives notes worth telling a person (tensors not used, for example). `message` lives during the call. */
typedef void (*facekp_log)(void *user, int32_t level, const char *message);

/* -------------------------------------------------------------------------------------------------------
 * model */

typedef struct facekp_model facekp_model;

enum {
    FACEKP_ARCHITECTURE_AUTO = 0,
    FACEKP_DIRECT = 1,
    FACEKP_RESNET18 = 2,
    FACEKP_DINO = 3,
    FACEKP_UNET = 4
};
enum { FACEKP_OUTPUT_REGRESSION = 1, FACEKP_OUTPUT_HEATMAPS = 2 };
enum { FACEKP_DTYPE_DEFAULT = 0, FACEKP_F32 = 1, FACEKP_F16 = 2, FACEKP_BF16 = 3 };
/** What a 3-channel first layer expects of its input, when it is adapted to one gray channel. */
enum {
    FACEKP_NORMALIZATION_DEFAULT = 0, /**< the file's metadata, else ImageNet */
    FACEKP_NORMALIZATION_NONE = 1,    /**< gray in [0, 1] copied to three channels: exact at every pixel */
    FACEKP_NORMALIZATION_IMAGENET =
        2 /**< ImageNet mean and deviation; exact but for the zero padding at the border */
};

/** Options of facekp_model_load() and facekp_model_load_memory(). */
typedef struct facekp_load_options {
    size_t struct_size;
    const facekp_allocator *allocator; /**< copied; NULL: the C library's */
    facekp_log log;                    /**< NULL: silence */
    void *log_user;
    char *message;       /**< caller's buffer for the message of a failed load, NUL-terminated; may be NULL */
    size_t message_size; /**< bytes in `message` */
    int32_t architecture;  /**< FACEKP_ARCHITECTURE_AUTO: the file's metadata, else its tensors, decide */
    int32_t normalization; /**< of a 3-channel first layer */
    int32_t
        random_weights; /**< not 0: ignore the file's absence and fill the named architecture from `seed` */
    int32_t activation; /**< direct only, when the file does not say: 0 or 2 ELU, 1 ReLU */
    uint64_t seed;
    const char *cpu; /**< highest instruction set to use: "portable", "avx2", "avx512"; NULL: the best there
                        is, lowered by the environment variable FACEKP_CPU */
} facekp_load_options;
#define FACEKP_LOAD_OPTIONS_INIT                                                                             \
    { sizeof(facekp_load_options), NULL, NULL, NULL, NULL, 0, 0, 0, 0, 0, 0, NULL }
FACEKP_API void facekp_load_options_init(facekp_load_options *options, size_t struct_size);

/** Loads a weights file: safetensors, or a PyTorch checkpoint in any of its containers (zip, legacy, tar).
 * `path` is UTF-8; it is not kept. With `random_weights`, `path` may be NULL. On failure *model is NULL. */
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
    size_t struct_size;
    const char *architecture; /**< "direct", "resnet18", "dino", "unet" */
    const char *variant;      /**< "elu", "relu", "query", "flatten", "width 32", … */
    const char *license;      /**< from the file's metadata; "" if it says nothing */
    const char *training_data;
    const char *precision; /**< element type of the weights in the file: "F32", "F16", … */
    const char *cpu;       /**< instruction set the model computes with */
    int32_t architecture_id;
    int32_t keypoints;
    int32_t input_width, input_height;
    int32_t output_kind; /**< FACEKP_OUTPUT_REGRESSION: keypoints x 2; FACEKP_OUTPUT_HEATMAPS: keypoints x H x
                            W */
    int32_t output_width, output_height; /**< of a heatmap; 2 x 1 for a regression */
    int32_t reserved;
    uint64_t parameters;     /**< trainable numbers */
    uint64_t multiply_adds;  /**< per image, in direct form */
    uint64_t weight_bytes;   /**< memory of the packed weights */
    double label_bias_px[2]; /**< constant offset of the training labels, pixels of the input crop */
} facekp_model_info;
FACEKP_API FACEKP_CHECK_RESULT facekp_status facekp_model_get_info(const facekp_model *model,
                                                                   facekp_model_info *info);

/** Floats of the raw output for one image. */
FACEKP_API size_t facekp_model_output_count(const facekp_model *model);

/** One line of the layer table of a model. */
typedef struct facekp_layer_info {
    size_t struct_size;
    const char *name;                /**< the state-dict prefix; "" where the layer has no parameters */
    const char *kind;                /**< "convolution", "linear", … */
    int32_t channels, height, width; /**< of its output */
    int32_t reserved;
    uint64_t parameters;
    uint64_t multiply_adds;
} facekp_layer_info;
FACEKP_API int32_t facekp_model_layer_count(const facekp_model *model);
FACEKP_API FACEKP_CHECK_RESULT facekp_status facekp_model_get_layer(const facekp_model *model, int32_t index,
                                                                    facekp_layer_info *info);

/** Reads a weights file of any supported format and writes it as safetensors, as `dtype` (default: as it is),
 * with metadata that names the architecture. The new file appears whole or not at all. */
FACEKP_API FACEKP_CHECK_RESULT facekp_status facekp_convert(const char *input, const char *output,
                                                            int32_t dtype,
                                                            const facekp_load_options *options);

/* -----------------------------------------------------------------------------------------------------
 * session */

typedef struct facekp_session facekp_session;

/** Options of facekp_session_open(). */
typedef struct facekp_session_options {
    size_t struct_size;
    const facekp_allocator *allocator; /**< copied; NULL: the model's */
    facekp_parallel_for parallel_for;  /**< NULL: threads of the library's own */
    void *parallel_user;
    int32_t threads; /**< 0 or 1: the caller's thread alone; FACEKP_THREADS_ALL; at most 256 */
    int32_t batch;   /**< faces computed together, 1 to 64; 0 is 1. Larger requests are cut into batches. */
} facekp_session_options;
#define FACEKP_SESSION_OPTIONS_INIT                                                                          \
    { sizeof(facekp_session_options), NULL, NULL, NULL, 0, 0 }
FACEKP_API void facekp_session_options_init(facekp_session_options *options, size_t struct_size);

/** Opens a session: all memory and threads it will ever need are taken here. It holds the model. */
FACEKP_API FACEKP_CHECK_RESULT facekp_status facekp_session_open(facekp_model *model,
                                                                 const facekp_session_options *options,
                                                                 facekp_session **session);
FACEKP_API void facekp_session_free(facekp_session *session);
/** The message of the last call that failed on this session; "" if none has. Lives until the next call on it.
 */
FACEKP_API const char *facekp_session_message(const facekp_session *session);
/** Bytes of the workspace the session holds. */
FACEKP_API size_t facekp_session_memory(const facekp_session *session);

/** Tensor in, raw output out. `input`: count x 1 x input_height x input_width, gray in [0, 1]. `output`:
 * count x facekp_model_output_count() floats: normalised x, y per keypoint, or heatmap logits. */
FACEKP_API FACEKP_CHECK_RESULT facekp_status facekp_session_run(facekp_session *session, const float *input,
                                                                size_t count, float *output,
                                                                size_t output_floats);

/* ------------------------------------------------------------------------------------------------------
 * images */

enum {
    FACEKP_GRAY8 = 1, /**< also the luma plane of NV12, NV21 and I420 */
    FACEKP_RGB8 = 2,
    FACEKP_BGR8 = 3,
    FACEKP_RGBA8 = 4,
    FACEKP_BGRA8 = 5,
    FACEKP_GRAYF = 6 /**< float, 0 to 1 */
};

/** An image of the caller's. `rotation` says by how many degrees clockwise (0, 90, 180, 270) the stored
 * pixels must be turned to stand upright; boxes and points are in the coordinates of the stored pixels all
 * the same. */
typedef struct facekp_image {
    size_t struct_size;
    const void *data;      /**< first byte of the top row */
    int64_t stride;        /**< bytes from row to row; 0: dense */
    int32_t width, height; /**< 1 to 32767 */
    int32_t format;        /**< FACEKP_GRAY8 … */
    int32_t rotation;
} facekp_image;
#define FACEKP_IMAGE_INIT                                                                                    \
    { sizeof(facekp_image), NULL, 0, 0, 0, 0, 0 }

/** Options of decoding. */
enum {
    FACEKP_DECODE_DEFAULT = 0,     /**< local soft-argmax */
    FACEKP_DECODE_ARGMAX = 1,      /**< whole cells */
    FACEKP_DECODE_SOFT_ARGMAX = 2, /**< mean of the softmax in a window around the peak */
    FACEKP_DECODE_DARK = 3 /**< second-order Taylor step on the log-heatmap (Zhang et al., CVPR 2020) */
};
typedef struct facekp_predict_options {
    size_t struct_size;
    int32_t decode;          /**< heatmap models only */
    int32_t window;          /**< soft-argmax: side in cells, odd, 3 to 31; 0 is 9 */
    int32_t keep_label_bias; /**< not 0: do not take the model's label_bias_px out of the points */
    int32_t second_pass;     /**< not 0: predict again on a crop around the first points */
} facekp_predict_options;
#define FACEKP_PREDICT_OPTIONS_INIT                                                                          \
    { sizeof(facekp_predict_options), 0, 0, 0, 0 }
FACEKP_API void facekp_predict_options_init(facekp_predict_options *options, size_t struct_size);

/** Where results go; every pointer is the caller's and may be NULL. For F faces and K keypoints: */
typedef struct facekp_faces {
    size_t struct_size;
    float *points;      /**< F x K x 2, pixels of the caller's image */
    float *confidences; /**< F x K, 0 to 1 */
    float *transforms; /**< F x 6, the affine map crop -> image: x = t0 u + t1 v + t2, y = t3 u + t4 v + t5 */
    int32_t *statuses; /**< F, a facekp_status each: one bad face does not spoil the others */
    float *raw;        /**< F x facekp_model_output_count(), the raw output */
} facekp_faces;
#define FACEKP_FACES_INIT                                                                                    \
    { sizeof(facekp_faces), NULL, NULL, NULL, NULL, NULL }

/** Images in, points out. For face i the image is images[image_of_face[i]], or, with image_of_face NULL,
 * images[0] if there is one image and images[i] otherwise. `boxes`: 4 floats a face (x, y, width, height; may
 * reach outside the image), or NULL: the whole image is the face crop and the preprocessing of record is used
 * (shorter side to 250, centre 224 x 224). Without `faces->statuses` the first bad face ends the call with
 * its status. */
FACEKP_API FACEKP_CHECK_RESULT facekp_status
facekp_session_predict(facekp_session *session, const facekp_image *const *images, size_t image_count,
                       const float *boxes, const int32_t *image_of_face, size_t face_count,
                       const facekp_predict_options *options, const facekp_faces *faces);

/* ----------------------------------------------------------------------------------------------------
 * decoding */

/** Normalised regression output -> points in pixels of the 224 crop: p = 50 q + 100. `points`: count x
 * keypoints x 2. */
FACEKP_API FACEKP_CHECK_RESULT facekp_status facekp_decode_regression(const float *raw, size_t count,
                                                                      int32_t keypoints, float *points);
/** Heatmap logits, count x keypoints x height x width -> points in pixels of the 224 crop (a cell's centre
 * maps to the same place of the crop: x = (c + 0.5) 224 / width - 0.5) and confidences: the softmax mass of
 * the window around the peak. `confidences` may be NULL. */
FACEKP_API FACEKP_CHECK_RESULT facekp_status facekp_decode_heatmaps(const float *logits, size_t count,
                                                                    int32_t keypoints, int32_t height,
                                                                    int32_t width,
                                                                    const facekp_predict_options *options,
                                                                    float *points, float *confidences);

/* ----------------------------------------------------------------------------------------------------
 * pictures */

/** An 8-bit picture in memory: what the tools read, draw on and write. */
typedef struct facekp_picture facekp_picture;

/** Opens a PNG of any colour type and bit depth as gray (channels 1) or RGB (channels 3); at most 32767
 * pixels a side and 256 million in all. `message` (message_size bytes, may be NULL) receives why it failed.
 */
FACEKP_API FACEKP_CHECK_RESULT facekp_status facekp_picture_read(const char *path, int32_t channels,
                                                                 char *message, size_t message_size,
                                                                 facekp_picture **picture);
FACEKP_API FACEKP_CHECK_RESULT facekp_status facekp_picture_create(int32_t width, int32_t height,
                                                                   int32_t channels,
                                                                   facekp_picture **picture);
FACEKP_API void facekp_picture_free(facekp_picture *picture);
/** Describes the picture as an image; the pixels are lent until the picture is freed. */
FACEKP_API FACEKP_CHECK_RESULT facekp_status facekp_picture_get_image(const facekp_picture *picture,
                                                                      facekp_image *image);
/** The pixels, dense, width * channels bytes a row, for writing. */
FACEKP_API uint8_t *facekp_picture_pixels(facekp_picture *picture);
/** Writes a PNG, whole or not at all. */
FACEKP_API FACEKP_CHECK_RESULT facekp_status facekp_picture_write(const facekp_picture *picture,
                                                                  const char *path, char *message,
                                                                  size_t message_size);
/** Draws antialiased discs of `radius` pixels at count points; `rgb` is 0xRRGGBB. */
FACEKP_API FACEKP_CHECK_RESULT facekp_status facekp_picture_draw_points(facekp_picture *picture,
                                                                        const float *points, size_t count,
                                                                        float radius, uint32_t rgb);
/** Scales the picture by a whole or broken factor, antialiased, into a new one. */
FACEKP_API FACEKP_CHECK_RESULT facekp_status facekp_picture_resize(const facekp_picture *picture,
                                                                   int32_t width, int32_t height,
                                                                   facekp_picture **resized);
/** Renders one map (height x width floats) through a perceptual colour map into a new RGB picture; the
 * smallest value is the darkest colour. */
FACEKP_API FACEKP_CHECK_RESULT facekp_status facekp_picture_from_heatmap(const float *map, int32_t width,
                                                                         int32_t height,
                                                                         facekp_picture **picture);

#ifdef __cplusplus
}
#endif

#endif
