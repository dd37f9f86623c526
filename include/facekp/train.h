/** @file train.h
 *  libfacekp-train: training the four networks of libfacekp, and measuring them.
 *
 *  The way of the data: a @ref facekp_train_options says what to train, on what and how; facekp_train_open()
 *  reads it all and checks it; facekp_train_run() trains, and leaves the best weights in a file that
 *  facekp_model_load() reads. facekp_train_evaluate() measures such a file on faces with known points.
 *
 *  **Data.** A CSV file whose header names its columns (image,x0,y0,x1,y1,… or the Udacity layout with
 *  columns 0, 1, 2, …) and a folder of PNG images; coordinates are pixels of the stored image. A file name
 *  Person_vf.png says that this is frame f of video v of Person.
 *
 *  **Same bits.** The result depends on the options and the data alone: not on the number of threads, and not
 *  on whether the training was stopped, or killed, and resumed from its checkpoint.
 *
 *  **Threads.** A handle is for one thread at a time; different handles may be used side by side.
 *
 *  Errors, options structs and units are as facekp.h says. */
#ifndef FACEKP_TRAIN_H
#define FACEKP_TRAIN_H

#include "facekp/facekp.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ----------------------------------------------------------------------------------------- callbacks */

/** After a step of the optimiser. */
typedef struct facekp_train_step {
    size_t struct_size;       /**< sizeof this struct, set by the library */
    int32_t epoch;            /**< this epoch, from 0 */
    int32_t epochs;           /**< of how many */
    int64_t step;             /**< this step of the epoch, from 0 */
    int64_t steps;            /**< of how many */
    double loss;              /**< of this batch */
    double gradient_norm;     /**< before clipping */
    double learning_rate;     /**< of this step */
    double images_per_second; /**< since the call of facekp_train_run(), validation not counted */
} facekp_train_step;

/** What is measured over a set of faces, in the terms of the preprocessing of record. */
typedef struct facekp_train_metrics {
    size_t struct_size;  /**< sizeof this struct */
    int64_t faces;       /**< how many were measured */
    double mse;          /**< over all coordinates normalised as (p - 100) / 50 */
    double nme;          /**< mean point error over the distance of the outer eye corners */
    double median_px;    /**< median point error, pixels of the 224 crop */
    double p95_px;       /**< its 95th percentile */
    double failure_rate; /**< faces with an NME above 0.10 */
    double auc;          /**< area under the cumulative error up to 0.10, 0 to 1 */
    double residual_x;   /**< mean of prediction minus label, pixels of the 224 crop */
    double residual_y;   /**< the same downwards */
} facekp_train_metrics;

/** After an epoch and its validation. */
typedef struct facekp_train_epoch {
    size_t struct_size;              /**< sizeof this struct, set by the library */
    int32_t epoch;                   /**< this epoch, from 0 */
    int32_t epochs;                  /**< of how many */
    int32_t best;                    /**< not 0: the best so far, and written to the output file */
    int32_t reserved;                /**< 0 */
    double train_loss;               /**< mean over the epoch's batches, as they were seen */
    double train_mse;                /**< the same of the squared error of record */
    double validation_loss;          /**< NaN, as the metrics, without validation */
    double learning_rate;            /**< of the last step */
    double seconds;                  /**< of this epoch, or the part of it since it was resumed */
    double images_per_second;        /**< trained on */
    facekp_train_metrics validation; /**< NaN without validation */
} facekp_train_epoch;

/** Returns 0 to go on; anything else stops the training after a checkpoint, with FACEKP_ERROR_CANCELLED. */
typedef int32_t (*facekp_train_on_step)(void *user, const facekp_train_step *step);
/** The same after each epoch. */
typedef int32_t (*facekp_train_on_epoch)(void *user, const facekp_train_epoch *epoch);

/* ------------------------------------------------------------------------------------------- options */

/** What to train. Strings are the caller's and must live until facekp_train_open() has returned. Every field
 *  below `callback_user` can be set by its name: facekp_train_option_set(). */
typedef struct facekp_train_options {
    size_t struct_size;                /**< sizeof this struct */
    const facekp_allocator *allocator; /**< copied; NULL: the C library's */
    facekp_log log;                    /**< rows skipped, weights taken; NULL: silence */
    void *log_user;                    /**< handed to `log` */
    char *message;                     /**< caller's buffer for the message of a failed open; may be NULL */
    size_t message_size;               /**< bytes in `message` */
    facekp_train_on_step on_step;      /**< NULL: not called */
    facekp_train_on_epoch on_epoch;    /**< NULL: not called */
    void *callback_user;               /**< handed to both */

    /* data */
    const char *train_csv;         /**< needed */
    const char *train_images;      /**< folder; NULL: named as the CSV (train.csv: train/) */
    const char *extra_csv;         /**< more faces to train on, for example rendered ones; never held out */
    const char *extra_images;      /**< their folder */
    const char *validation_csv;    /**< faces to validate on; NULL: some of train_csv are held out */
    const char *validation_images; /**< their folder */
    const char *split;             /**< hold out by "person" (default) or "video"; "none": no validation */
    double held_out;               /**< the part of people (videos) held out; 0: 0.1 */
    uint64_t split_seed;           /**< another seed, another split */
    int32_t skip_bad;              /**< not 0: bad rows and images are skipped with a warning, not fatal */
    int32_t keypoints;             /**< 0: 68 */
    uint64_t cache_bytes;          /**< of decoded images in memory; 0: 1 GiB */
    double label_bias_x;       /**< the labels' constant offset, pixels of the 224 crop: taken out before */
    double label_bias_y;       /**< flips and rotations, put back after, and noted in the model file */
    double extra_label_bias_x; /**< the same of the extra faces */
    double extra_label_bias_y; /**< and downwards */

    /* network */
    const char *architecture;  /**< "direct", "resnet18", "dino", "unet"; needed */
    const char *variant;       /**< direct: "elu" (default), "relu"; dino: "query" (default), "flatten" */
    const char *weights;       /**< file to start from, as far as its names and shapes fit; NULL: random */
    const char *normalization; /**< of a 3-channel first layer there: "imagenet" (default), "none" */
    int32_t width;             /**< unet: channels of the first level; 0: 32 */
    int32_t input_size;        /**< side of the input; 0: 224 */
    int32_t dimension;         /**< dino: width of a token; 0: 384 */
    int32_t depth;             /**< dino: blocks; 0: 12 */
    int32_t heads;             /**< dino: heads of attention; 0: 6 */
    int32_t no_dropout;        /**< not 0: trains without dropout */

    /* loss */
    const char *loss;      /**< "smooth-l1", "mse", "l1", "wing", "soft-wing"; for heatmaps "cross-entropy",
                                "bce", "heatmap-mse". NULL: smooth-l1, cross-entropy */
    double loss_beta;      /**< smooth L1; 0: 1 */
    double loss_width;     /**< Wing w, Soft-Wing w2; 0: 0.2, 0.4 */
    double loss_threshold; /**< Soft-Wing w1; 0: 0.04 */
    double loss_curvature; /**< Wing and Soft-Wing e; 0: 0.04, 0.01 */
    double heatmap_sigma;  /**< of the targets, in cells; 0: 2.33 */
    double integral;       /**< heatmaps: weight of the loss on soft-argmax coordinates; 0: none */

    /* optimiser */
    const char *optimiser; /**< "adam" (default), "adamw", "sgd" */
    double learning_rate;  /**< 0: 1e-3; one-cycle: the highest */
    double weight_decay;   /**< decoupled for adamw, added to the gradient otherwise */
    double momentum;       /**< sgd */
    double clip_norm;      /**< largest norm of all gradients together; 0: not clipped */
    double ema_decay;   /**< of a moving average of the weights, which is then validated and kept; 0: none */
    const char *groups; /**< parameters by name, "PATTERN:RATE[:EPOCH[:nodecay]],…": trained at RATE times the
                             learning rate from EPOCH on; the first that matches counts */
    const char *schedule;    /**< "constant" (default), "multistep", "cosine", "one-cycle" */
    const char *milestones;  /**< multistep: epochs, "10,20" */
    double schedule_factor;  /**< multistep: at each milestone; 0: 0.1 */
    double schedule_minimum; /**< cosine: the last rate */
    double warm_up;          /**< one-cycle: the share of steps that rise; 0: 0.3 */
    int32_t epochs;          /**< 0: 25 */
    int32_t batch;           /**< 0: 16 */
    int32_t accumulate;      /**< batches to a step of the optimiser; 0: 1 */

    /* augmentation: 0 switches a part off */
    int32_t random_crop;   /**< the crop of record at a random place, not in the centre */
    double shift;          /**< up to so many pixels of the crop each way */
    double zoom;           /**< log-uniform, 1 / (1 + zoom) to 1 + zoom */
    double rotation;       /**< up to so many degrees each way */
    double flip;           /**< probability of mirroring */
    double brightness;     /**< up to so much added or taken, of 1 */
    double contrast;       /**< about the middle gray, as zoom */
    double gamma;          /**< the exponent, as zoom */
    double blur;           /**< probability of a blur */
    double blur_sigma;     /**< its deviation, up to so many pixels */
    double noise;          /**< deviation of the pixels' noise, up to this */
    double occlusion;      /**< probability of a gray rectangle */
    double occlusion_side; /**< its sides, up to this part of the crop's */

    /* running */
    uint64_t seed;             /**< of first weights, order, augmentation and dropout */
    int32_t threads;           /**< 0 or 1: one; FACEKP_THREADS_ALL */
    int32_t loader_threads;    /**< that prepare batches ahead; 0: 1 */
    const char *metric;        /**< that the best epoch has the lowest of: "mse" (default), "nme", "loss" */
    int32_t patience;          /**< stop after so many epochs without a better one; 0: never */
    int32_t checkpoint_steps;  /**< write the checkpoint every so many steps too; 0: after each epoch alone */
    const char *checkpoint;    /**< file to write checkpoints to; NULL: none */
    int32_t resume;            /**< not 0: go on from the checkpoint, if there is one */
    int32_t reserved;          /**< 0 */
    const char *epoch_log;     /**< CSV file, a line an epoch; NULL: none */
    const char *output;        /**< weights file of the best epoch (safetensors); NULL: none */
    const char *output_dtype;  /**< "f32" (default), "f16", "bf16" */
    const char *license;       /**< for the weights file's metadata */
    const char *training_data; /**< the same: name of the data */
} facekp_train_options;

/** Sets every field to its default, zero, and struct_size. */
FACEKP_API void facekp_train_options_init(facekp_train_options *options, size_t struct_size);

/** Recipes by number, from 0: "direct", "resnet18", "dino", "unet" as their source report has them, and
 *  "direct-tuned", … with augmentation, AdamW and one cycle; NULL beyond the last. */
FACEKP_API const char *facekp_train_recipe_name(int32_t index);
/** Sets the label bias and every field from `architecture` to `occlusion_side`, but `weights` and
 *  `normalization`; the others are left alone. FACEKP_ERROR_ARGUMENT for an unknown name. */
FACEKP_API FACEKP_CHECK_RESULT facekp_status facekp_train_recipe(const char *name,
                                                                 facekp_train_options *options);

/** Options by number, from 0; NULL beyond the last. The names are the fields'. */
FACEKP_API const char *facekp_train_option_name(int32_t index);
/** Sets a field from text: a number in decimals, or a string, which is kept, not copied. `message` (may be
 *  NULL) receives why it failed. */
FACEKP_API FACEKP_CHECK_RESULT facekp_status facekp_train_option_set(facekp_train_options *options,
                                                                     const char *name, const char *value,
                                                                     char *message, size_t message_size);

/* ------------------------------------------------------------------------------------------ training */

/** A training. */
typedef struct facekp_train facekp_train;

/** Reads the data, builds the network, takes its first weights from `weights`, the checkpoint or chance.
 *  FACEKP_ERROR_STATE when the checkpoint is of a training with other options; FACEKP_ERROR_WRITE when one of
 *  the files to write cannot be written. */
FACEKP_API FACEKP_CHECK_RESULT facekp_status facekp_train_open(const facekp_train_options *options,
                                                               facekp_train **train);
/** Trains to the end. FACEKP_ERROR_CANCELLED when a callback stopped it: run it again to go on.
 *  FACEKP_ERROR_VALUE when the loss or a gradient is no longer finite: the message says where, and the last
 *  checkpoint and the output file are as they were. */
FACEKP_API FACEKP_CHECK_RESULT facekp_status facekp_train_run(facekp_train *train);
/** Frees it; NULL is fine. Files that were written stay. */
FACEKP_API void facekp_train_free(facekp_train *train);
/** The message of the last call that failed; "" if none has. */
FACEKP_API const char *facekp_train_message(const facekp_train *train);
/** Sizes of a training. */
typedef struct facekp_train_info {
    size_t struct_size;       /**< sizeof this struct, set by the caller */
    int64_t train_faces;      /**< faces trained on */
    int64_t validation_faces; /**< faces held out */
    int64_t skipped_rows;     /**< bad rows passed over */
    int64_t parameters;       /**< numbers that are trained */
    int64_t engine_bytes;     /**< memory of activations and gradients */
    int64_t steps_per_epoch;  /**< of the optimiser */
} facekp_train_info;
/** Fills *info. */
FACEKP_API FACEKP_CHECK_RESULT facekp_status facekp_train_get_info(const facekp_train *train,
                                                                   facekp_train_info *info);

/* --------------------------------------------------------------------------------------- measuring */

/** Faces with known points, and how to predict them: by libfacekp's own facekp_session_predict(), so that
 * what is measured is what users run. */
typedef struct facekp_train_evaluation {
    size_t struct_size;                /**< sizeof this struct */
    const facekp_allocator *allocator; /**< copied; NULL: the C library's */
    facekp_log log;                    /**< rows skipped; NULL: silence */
    void *log_user;                    /**< handed to `log` */
    char *message;       /**< caller's buffer for the message of a failure, which begins with the name of the
                              file that it is about, if it is about one; may be NULL */
    size_t message_size; /**< bytes in `message` */
    const char *model;   /**< weights file; needed */
    const char *csv;     /**< faces; needed */
    const char *images;  /**< their folder; NULL: named as the CSV */
    const char *split;   /**< NULL: all faces; "person", "video": only those that training holds out */
    double held_out;     /**< the part of people (videos) held out; 0: 0.1 */
    uint64_t split_seed; /**< as in the training */
    int32_t skip_bad;    /**< not 0: bad rows and images are skipped with a warning, not fatal */
    int32_t flip; /**< not 0: the mean of the predictions for the face and its mirror image. The labels'
                       constant offset would be mirrored too: it is taken out before, and put back after */
    int32_t remove_bias; /**< not 0: the model's label_bias_px is taken out of the predictions, as predicting
                              does; 0: it is kept, since the labels measured against have it too */
    int32_t second_pass; /**< not 0: as in facekp_predict_options */
    int32_t threads;     /**< 0 or 1: one; FACEKP_THREADS_ALL */
    int32_t batch;       /**< faces computed together, at most 64; 0: 8 */
    int32_t decode;      /**< heatmaps: FACEKP_DECODE_DEFAULT … */
    int32_t reserved;    /**< 0 */
} facekp_train_evaluation;
/** Sets every field to its default, zero, and struct_size. */
FACEKP_API void facekp_train_evaluation_init(facekp_train_evaluation *evaluation, size_t struct_size);

/** Metrics of a model on faces, with the predictions. */
typedef struct facekp_train_report facekp_train_report;

/** Predicts all faces and measures how far off they are. */
FACEKP_API FACEKP_CHECK_RESULT facekp_status facekp_train_evaluate(const facekp_train_evaluation *evaluation,
                                                                   facekp_train_report **report);
/** Frees it; NULL is fine. */
FACEKP_API void facekp_train_report_free(facekp_train_report *report);
/** Fills *metrics. */
FACEKP_API FACEKP_CHECK_RESULT facekp_status
facekp_train_report_get_metrics(const facekp_train_report *report, facekp_train_metrics *metrics);

/** Formats of facekp_train_report_text(). */
enum {
    FACEKP_TRAIN_TEXT = 0, /**< a table to read */
    FACEKP_TRAIN_JSON = 1, /**< one object */
    FACEKP_TRAIN_CSV = 2   /**< a row for all, for each region and for each keypoint */
};
/** The report as text: all metrics, mean signed residuals by region and (JSON, CSV) by keypoint. Lives as
 *  long as the report; NULL without memory or for another format. */
FACEKP_API const char *facekp_train_report_text(facekp_train_report *report, int32_t format);

/* -------------------------------------------------------------------------------------------- pictures */

/** Curves of an epoch log, as a PNG.
 *  @param epoch_log     CSV file that a training wrote.
 *  @param columns       names of its columns, "train_loss,validation_loss"; NULL: these two. At most 16.
 *  @param title         may be NULL.
 *  @param log_scale     not 0: the y axis is logarithmic.
 *  @param png           file to write, whole or not at all.
 *  @param message       receives why it failed; may be NULL.
 *  @param message_size  bytes in `message`. */
FACEKP_API FACEKP_CHECK_RESULT facekp_status facekp_train_plot_curves(const char *epoch_log,
                                                                      const char *columns, const char *title,
                                                                      int32_t log_scale, const char *png,
                                                                      char *message, size_t message_size);
/** Cumulative error of `count` reports in one chart, each with its label; at most 16. `title`, `png`,
 *  `message` as in facekp_train_plot_curves(). */
FACEKP_API FACEKP_CHECK_RESULT facekp_status facekp_train_plot_errors(facekp_train_report *const *reports,
                                                                      const char *const *labels, size_t count,
                                                                      const char *title, const char *png,
                                                                      char *message, size_t message_size);

/** Which faces facekp_train_plot_faces() shows. */
enum {
    FACEKP_TRAIN_FIRST = 0, /**< the first of the file */
    FACEKP_TRAIN_WORST = 1, /**< those of the greatest NME, the worst first */
    FACEKP_TRAIN_BEST = 2,  /**< those of the smallest NME, the best first */
    FACEKP_TRAIN_EVENLY = 3 /**< evenly through the order of errors, from best to worst */
};
/** Contact sheet of faces of a report, predicted points (red) over the labels (green).
 *  @param report        what is shown.
 *  @param choice        FACEKP_TRAIN_FIRST ….
 *  @param count         faces; all if there are fewer.
 *  @param columns       faces in a row.
 *  @param png           file to write, whole or not at all.
 *  @param message       receives why it failed; may be NULL.
 *  @param message_size  bytes in `message`. */
FACEKP_API FACEKP_CHECK_RESULT facekp_status facekp_train_plot_faces(facekp_train_report *report,
                                                                     int32_t choice, size_t count,
                                                                     size_t columns, const char *png,
                                                                     char *message, size_t message_size);
/** For a heatmap model and one face of a report (its number in the order of the file): a row of `count`
 *  heatmaps over their targets, the keypoints evenly chosen; or, with count 0, the sum of all heatmaps beside
 *  and over the crop. */
FACEKP_API FACEKP_CHECK_RESULT facekp_status facekp_train_plot_heatmaps(facekp_train_report *report,
                                                                        size_t face, size_t count,
                                                                        const char *png, char *message,
                                                                        size_t message_size);

/* --------------------------------------------------------------------------------------- rendered faces */

/** After some of the faces; returns 0 to go on, anything else to stop with FACEKP_ERROR_CANCELLED. */
typedef int32_t (*facekp_train_on_face)(void *user, int64_t done, int64_t count);

/** Faces to render, with their exact 68 points: something to train on where there is no data. */
typedef struct facekp_train_synthesis {
    size_t struct_size;                /**< sizeof this struct */
    const facekp_allocator *allocator; /**< copied; NULL: the C library's */
    char *message;                     /**< caller's buffer for the message of a failure; may be NULL */
    size_t message_size;               /**< bytes in `message` */
    facekp_train_on_face on_face;      /**< NULL: not called */
    void *callback_user;               /**< handed to it */
    const char *folder; /**< made if it is not there; receives faces.csv and faces/, which train_csv reads */
    int64_t count;      /**< faces, at least 1 */
    uint64_t seed;      /**< another seed, other faces; face i of a seed is always the same */
    int32_t size;       /**< side of a picture in pixels, 32 to 2048; 0: 250 */
    int32_t threads;    /**< 0 or 1: one; FACEKP_THREADS_ALL */
} facekp_train_synthesis;
/** Sets every field to its default, zero, and struct_size. */
FACEKP_API void facekp_train_synthesis_init(facekp_train_synthesis *synthesis, size_t struct_size);
/** Renders them. The CSV file appears when all is done. */
FACEKP_API FACEKP_CHECK_RESULT facekp_status facekp_train_synth(const facekp_train_synthesis *synthesis);

#ifdef __cplusplus
}
#endif

#endif
