/* One sample for the network from one face of a data set: a crop and its normalised points.
 *
 * A sample is a pure function of (seed, epoch, face). Its geometry is one affine map crop -> image,
 *     crop of record  after  zoom, rotation and shift about the crop's centre  after  mirror,
 * sampled once, so that nothing is resampled twice. Points go the inverse way. The labels' constant bias (see
 * label_bias in dataset.h) would be mirrored and turned with the face, and the network could not learn it: it
 * is taken out before, and put back after (times the zoom, since it grew out of the size of the face).
 *
 * All lengths are pixels of the 224 crop of record, whatever the size of the network's input is. */
#ifndef FKP_AUGMENT_H
#define FKP_AUGMENT_H

#include "train/data/dataset.h"

/* Zero switches a part off; with all zero but `label_bias` equal to the file's, it is the evaluation's
 * sample: the centre crop of record and the labels as they are. */
typedef struct fkp_augment {
    bool random_crop;     /* the crop of record at a random place of the resized image */
    float shift;          /* uniform in +-shift pixels, each way */
    float zoom;           /* log-uniform in 1 / (1 + zoom) to 1 + zoom */
    float rotation;       /* uniform in +-rotation degrees */
    float flip;           /* probability of mirroring; 68 points only */
    float brightness;     /* added, uniform in +-brightness (gray is 0 to 1) */
    float contrast;       /* about the middle gray, log-uniform in 1 / (1 + contrast) to 1 + contrast */
    float gamma;          /* the exponent, log-uniform in 1 / (1 + gamma) to 1 + gamma */
    float blur;           /* probability of a Gaussian blur */
    float blur_sigma;     /* its deviation, uniform up to this */
    float noise;          /* deviation of the pixels' noise, uniform up to this */
    float occlusion;      /* probability of a gray rectangle */
    float occlusion_side; /* each side uniform up to this part of the crop's */
    float label_bias[2];  /* put back into the targets */
} fkp_augment;

/* What was drawn for one sample. */
typedef struct fkp_draw {
    float left, top; /* of the crop of record, as a part of the room there is; negative: centred */
    float shift_x, shift_y, zoom, rotation;
    bool flip;
    float brightness, contrast, gamma, blur_sigma, noise;
    float occlusion[4]; /* x, y, width, height as parts of the crop; width 0: none */
    float occlusion_gray;
    uint64_t noise_key;
} fkp_draw;

/* Checks the ranges; `flip` needs 68 points. */
facekp_status fkp_augment_check(const fkp_augment *augment, size_t keypoints, fkp_error *error);

/* Every number has its own place in the stream, so that switching one part off leaves the others as they are.
 */
fkp_draw fkp_augment_draw(const fkp_augment *augment, uint64_t seed, uint64_t epoch, uint64_t face);

/* The map crop (size x size) -> image. */
fkp_affine fkp_augment_map(const fkp_draw *draw, int32_t width, int32_t height, int32_t size);

/* targets[2 K], normalised (p - 100) / 50 in the 224 crop, of points in pixels of the image. */
void fkp_augment_points(const fkp_augment *augment, const fkp_draw *draw, const float *face_bias,
                        int32_t width, int32_t height, const float *points, size_t keypoints, float *targets);

/* Brightness, blur, noise and the rest on a crop in place; scratch: size * size floats. */
void fkp_augment_light(const fkp_draw *draw, int32_t size, float *crop, float *scratch);

/* All of it. crop: size x size floats in [0, 1]; targets: 2 K floats; `memory` is the calling thread's. */
facekp_status fkp_sample(const fkp_dataset *dataset, size_t face, const fkp_augment *augment, uint64_t seed,
                         uint64_t epoch, const fkp_memory *memory, int32_t size, float *crop, float *targets,
                         float *scratch, fkp_error *error);

/* The 68 points of a mirrored face in the order of an unmirrored one: point i comes from flip_order[i]. */
extern const uint8_t fkp_flip_order[FACEKP_KEYPOINTS];

#endif
