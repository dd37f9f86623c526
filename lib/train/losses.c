#include "train/losses.h"

#include <math.h>
#include <string.h>

#include "train/layers/blocks.h"
#include "train/target_profile.h"

static const char *const names[FKP_LOSS_KINDS] = {"smooth-l1", "mse",           "l1",  "wing",
                                                  "soft-wing", "cross-entropy", "bce", "heatmap-mse"};

const char *fkp_loss_name(fkp_loss_kind kind) { return (size_t)kind < FKP_LOSS_KINDS ? names[kind] : NULL; }

fkp_loss_kind fkp_loss_named(const char *name) {
    int kind = 0;
    while (kind < FKP_LOSS_KINDS && strcmp(names[kind], name) != 0) kind++;
    return (fkp_loss_kind)kind;
}

bool fkp_loss_is_heatmap(fkp_loss_kind kind) {
    return kind >= FKP_LOSS_CROSS_ENTROPY && kind < FKP_LOSS_KINDS;
}

static double or_default(float value, double otherwise) { return value > 0.0f ? (double)value : otherwise; }

/* ---- regression: a function of one difference d ---- */

typedef struct point_loss {
    double value, slope;
} point_loss;

static double sign_of(double d) { return d > 0.0 ? 1.0 : d < 0.0 ? -1.0 : 0.0; }

static point_loss smooth_l1(double d, double beta) {
    double a = fabs(d);
    if (a < beta) return (point_loss){0.5 * d * d / beta, d / beta};
    return (point_loss){a - 0.5 * beta, sign_of(d)};
}

static point_loss wing(double d, double width, double curvature) {
    double a = fabs(d);
    if (a < width) return (point_loss){width * log1p(a / curvature), sign_of(d) * width / (curvature + a)};
    return (point_loss){a - (width - width * log1p(width / curvature)), sign_of(d)};
}

/* B joins the two parts at the threshold. */
static point_loss soft_wing(double d, double threshold, double width, double curvature) {
    double a = fabs(d), join = threshold - width * log1p(threshold / curvature);
    if (a < threshold) return (point_loss){a, sign_of(d)};
    return (point_loss){width * log1p(a / curvature) + join, sign_of(d) * width / (curvature + a)};
}

static point_loss point_loss_of(const fkp_loss *loss, double d) {
    switch (loss->kind) {
    case FKP_LOSS_MSE:
        return (point_loss){d * d, 2.0 * d};
    case FKP_LOSS_L1:
        return (point_loss){fabs(d), sign_of(d)};
    case FKP_LOSS_WING:
        return wing(d, or_default(loss->width, 0.2), or_default(loss->curvature, 0.04));
    case FKP_LOSS_SOFT_WING:
        return soft_wing(d, or_default(loss->threshold, 0.04), or_default(loss->width, 0.4),
                         or_default(loss->curvature, 0.01));
    default:
        return smooth_l1(d, or_default(loss->beta, 1.0));
    }
}

static double regression(const fkp_loss *loss, const fkp_loss_batch *batch) {
    size_t numbers = batch->count * fkp_shape_floats(batch->shape);
    double sum = 0.0;
    for (size_t i = 0; i < numbers; i++) {
        point_loss p = point_loss_of(loss, (double)batch->output[i] - (double)batch->targets[i]);
        sum += p.value;
        if (batch->d_output != NULL) batch->d_output[i] = (float)(p.slope / (double)numbers);
    }
    return sum / (double)numbers;
}

/* ---- heatmaps: each image's map is cut into bands of rows; sums of a band stand in scratch until all are
 * there ---- */

enum { BAND_CELLS = 2048 }; /* cells of a band, about */

typedef struct heatmap_layout {
    size_t width, height, keypoints, rows_per_band, bands; /* bands of one image */
    size_t maps;                                           /* count x keypoints */
} heatmap_layout;

static heatmap_layout layout_of(fkp_shape shape, size_t count) {
    heatmap_layout l = {.width = shape.width, .height = shape.height, .keypoints = shape.channels};
    l.rows_per_band = fkp_max_size(1, BAND_CELLS / shape.width);
    l.bands = fkp_divide_up(shape.height, l.rows_per_band);
    l.maps = count * shape.channels;
    return l;
}

/* Per band and keypoint of an image: what the first pass leaves. */
enum { BAND_MAXIMUM, BAND_SUM, BAND_X, BAND_Y, BAND_LOSS, BAND_NUMBERS };
/* Per map: what the second pass needs. */
enum { MAP_MAXIMUM, MAP_FACTOR, MAP_SCALE, MAP_PULL_X, MAP_PULL_Y, MAP_CENTRE, MAP_NUMBERS };

typedef struct heatmap_job {
    const fkp_context *context;
    const fkp_train_kernels *train;
    const fkp_loss *loss;
    const fkp_loss_batch *batch;
    heatmap_layout l;
    float *profiles; /* maps x (width + height): the Gaussian's factors along x and y, zero for no target */
    float *bands;    /* count x bands x BAND_NUMBERS x keypoints */
    float *maps;     /* count x MAP_NUMBERS x keypoints */
    float *workers;  /* WORKER_ROWS x keypoints each */
} heatmap_job;

enum { WORKER_ROWS = 5 };

size_t fkp_loss_scratch(const fkp_loss *loss, fkp_shape shape, size_t count) {
    if (!fkp_loss_is_heatmap(loss->kind)) return 0;
    heatmap_layout l = layout_of(shape, count);
    return l.maps * (l.width + l.height) + l.maps * (l.bands * BAND_NUMBERS + MAP_NUMBERS) +
           FKP_MAX_THREADS * WORKER_ROWS * l.keypoints;
}

/* Profile of a map along x (width numbers), then along y; both interleaved by keypoint, so that a cell's
 * target is a product of two rows. */
static float *x_profiles(const heatmap_job *job, size_t image) {
    return job->profiles + image * (job->l.width + job->l.height) * job->l.keypoints;
}
static float *y_profiles(const heatmap_job *job, size_t image) {
    return x_profiles(job, image) + job->l.width * job->l.keypoints;
}
static float *band_row(const heatmap_job *job, size_t image, size_t band, size_t which) {
    return job->bands + ((image * job->l.bands + band) * BAND_NUMBERS + which) * job->l.keypoints;
}
static float *map_row(const heatmap_job *job, size_t image, size_t which) {
    return job->maps + (image * MAP_NUMBERS + which) * job->l.keypoints;
}
static const float *output_row(const heatmap_job *job, size_t image, size_t cell) {
    return job->batch->output + (image * job->l.width * job->l.height + cell) * job->l.keypoints;
}

static void profile_task(void *argument, size_t image, size_t worker) {
    (void)worker;
    const heatmap_job *job = argument;
    double sigma = or_default(job->loss->sigma, 2.33);
    for (size_t k = 0; k < job->l.keypoints; k++) {
        const float *point = job->batch->targets + 2 * (image * job->l.keypoints + k);
        bool inside =
            fkp_target_profile(point[0], job->l.width, sigma, x_profiles(job, image) + k, job->l.keypoints);
        inside = fkp_target_profile(point[1], job->l.height, sigma, y_profiles(job, image) + k,
                                    job->l.keypoints) &&
                 inside;
        if (!inside)
            for (size_t x = 0; x < job->l.width; x++) x_profiles(job, image)[x * job->l.keypoints + k] = 0.0f;
    }
}

/* A cell's target is the product of its column's and its row's factor. */
static void target_row(const heatmap_job *job, size_t image, size_t y, size_t x, float *target) {
    const float *along_x = x_profiles(job, image) + x * job->l.keypoints;
    const float *along_y = y_profiles(job, image) + y * job->l.keypoints;
    for (size_t k = 0; k < job->l.keypoints; k++) target[k] = along_x[k] * along_y[k];
}

static bool needs_softmax(const fkp_loss *loss) {
    return loss->kind == FKP_LOSS_CROSS_ENTROPY || loss->integral > 0.0f;
}

/* ---- first pass: softmax sums, the expected position, and the loss of a band ---- */

static void band_softmax(const heatmap_job *job, size_t image, size_t band, size_t begin, size_t end,
                         float *row) {
    size_t keypoints = job->l.keypoints;
    float *maximum = band_row(job, image, band, BAND_MAXIMUM), *sum = band_row(job, image, band, BAND_SUM);
    job->train->softmax_chunk(output_row(job, image, begin), keypoints, end - begin, keypoints, maximum, sum);
    if (job->loss->integral <= 0.0f) return;
    float *sum_x = band_row(job, image, band, BAND_X), *sum_y = band_row(job, image, band, BAND_Y);
    float *ones = row + keypoints;
    for (size_t k = 0; k < keypoints; k++) ones[k] = 1.0f;
    for (size_t cell = begin; cell < end; cell++) {
        job->train->softmax_row(output_row(job, image, cell), maximum, ones, row, keypoints);
        job->train->axpy((float)(cell % job->l.width), row, sum_x, keypoints);
        job->train->axpy((float)(cell / job->l.width), row, sum_y, keypoints);
    }
}

/* BCE, softplus(z) - t z, or MSE, (z - t)^2, of one cell of every map: losses added, gradients written. */
static void cell_loss(const heatmap_job *job, const float *z, const float *target, float *gradient,
                      float *workspace, float *loss) {
    size_t keypoints = job->l.keypoints;
    const float share = 1.0f / ((float)job->l.maps * (float)(job->l.width * job->l.height));
    if (job->loss->kind == FKP_LOSS_BCE) {
        job->train->sigmoid_row(z, gradient, workspace, keypoints);
        for (size_t k = 0; k < keypoints; k++) {
            loss[k] += workspace[k] - target[k] * z[k];
            gradient[k] = share * (gradient[k] - target[k]);
        }
    } else {
        for (size_t k = 0; k < keypoints; k++) {
            float difference = z[k] - target[k];
            loss[k] += difference * difference;
            gradient[k] = share * 2.0f * difference;
        }
    }
}

/* Losses of a band; those of cross entropy, - t z, lack the logarithm of the softmax's sum until that is
 * known. The gradient of BCE and MSE is written here unless the integral loss still needs the output. */
static void band_cells(const heatmap_job *job, size_t image, size_t band, size_t begin, size_t end,
                       float *workspace) {
    size_t keypoints = job->l.keypoints, cells = job->l.width * job->l.height;
    float *loss = band_row(job, image, band, BAND_LOSS);
    float *target = workspace, *gradient = workspace + keypoints;
    float *d_output = job->batch->d_output == NULL || needs_softmax(job->loss)
                          ? NULL
                          : job->batch->d_output + image * cells * keypoints;
    for (size_t cell = begin; cell < end; cell++) {
        const float *z = output_row(job, image, cell);
        target_row(job, image, cell / job->l.width, cell % job->l.width, target);
        if (job->loss->kind == FKP_LOSS_CROSS_ENTROPY)
            for (size_t k = 0; k < keypoints; k++) loss[k] -= target[k] * z[k];
        else
            cell_loss(job, z, target, gradient, gradient + keypoints, loss);
        if (d_output != NULL) memcpy(d_output + cell * keypoints, gradient, keypoints * sizeof *gradient);
    }
}

static void first_task(void *argument, size_t index, size_t worker) {
    const heatmap_job *job = argument;
    size_t image = index / job->l.bands, band = index % job->l.bands, width = job->l.width;
    size_t begin = band * job->l.rows_per_band * width;
    size_t end = fkp_min_size(job->l.height, (band + 1) * job->l.rows_per_band) * width;
    float *workspace = job->workers + worker * WORKER_ROWS * job->l.keypoints;
    memset(band_row(job, image, band, 0), 0, BAND_NUMBERS * job->l.keypoints * sizeof(float));
    if (needs_softmax(job->loss)) band_softmax(job, image, band, begin, end, workspace);
    band_cells(job, image, band, begin, end, workspace);
}

/* ---- between: the bands of a map joined in their order ---- */

typedef struct map_sums {
    double maximum, sum, x, y, loss;
} map_sums;

static map_sums join_bands(const heatmap_job *job, size_t image, size_t k) {
    map_sums joined = {.maximum = -INFINITY};
    for (size_t band = 0; band < job->l.bands; band++)
        joined.maximum = fmax(joined.maximum, (double)band_row(job, image, band, BAND_MAXIMUM)[k]);
    for (size_t band = 0; band < job->l.bands; band++) {
        double factor = exp((double)band_row(job, image, band, BAND_MAXIMUM)[k] - joined.maximum);
        joined.sum += factor * (double)band_row(job, image, band, BAND_SUM)[k];
        joined.x += factor * (double)band_row(job, image, band, BAND_X)[k];
        joined.y += factor * (double)band_row(job, image, band, BAND_Y)[k];
        joined.loss += (double)band_row(job, image, band, BAND_LOSS)[k];
    }
    return joined;
}

/* Whether the keypoint is inside, so that its map has a target. */
static bool has_target(const heatmap_job *job, size_t image, size_t k) {
    const float *point = job->batch->targets + 2 * (image * job->l.keypoints + k);
    return fkp_target_inside(point[0], job->l.width) && fkp_target_inside(point[1], job->l.height);
}

/* Smooth L1 of the map's expected position. With p = softmax(z), dE[x]/dz = p (x - E[x]), so the pull on cell
 * (x, y) is p (pull_x x + pull_y y - centre). */
static double integral_loss(const heatmap_job *job, size_t image, size_t k, const map_sums *sums) {
    if (job->loss->integral <= 0.0f || !has_target(job, image, k)) return 0.0;
    const float *point = job->batch->targets + 2 * (image * job->l.keypoints + k);
    double x = sums->x / sums->sum, y = sums->y / sums->sum;
    double weight = (double)job->loss->integral / (2.0 * (double)job->l.maps);
    point_loss in_x = smooth_l1(x - (double)point[0], 1.0), in_y = smooth_l1(y - (double)point[1], 1.0);
    map_row(job, image, MAP_PULL_X)[k] = (float)(weight * in_x.slope);
    map_row(job, image, MAP_PULL_Y)[k] = (float)(weight * in_y.slope);
    map_row(job, image, MAP_CENTRE)[k] = (float)(weight * (in_x.slope * x + in_y.slope * y));
    return weight * (in_x.value + in_y.value);
}

/* The loss of one map, and the constants of its second pass. */
static double finish_map(const heatmap_job *job, size_t image, size_t k) {
    map_sums sums = join_bands(job, image, k);
    bool cross_entropy = job->loss->kind == FKP_LOSS_CROSS_ENTROPY;
    double share = 1.0 / (double)job->l.maps;
    map_row(job, image, MAP_MAXIMUM)[k] = (float)sums.maximum;
    map_row(job, image, MAP_FACTOR)[k] = (float)(1.0 / sums.sum);
    map_row(job, image, MAP_SCALE)[k] = cross_entropy && has_target(job, image, k) ? (float)share : 0.0f;
    double integral = integral_loss(job, image, k, &sums);
    if (!cross_entropy) return integral + sums.loss * share / (double)(job->l.width * job->l.height);
    if (!has_target(job, image, k)) return integral;
    return integral + (sums.loss + sums.maximum + log(sums.sum)) * share;
}

/* ---- second pass: gradients through the softmax ---- */

static void second_task(void *argument, size_t index, size_t worker) {
    const heatmap_job *job = argument;
    size_t keypoints = job->l.keypoints, width = job->l.width, cells = width * job->l.height;
    size_t image = index / job->l.bands, band = index % job->l.bands;
    size_t begin = band * job->l.rows_per_band * width;
    size_t end = fkp_min_size(job->l.height, (band + 1) * job->l.rows_per_band) * width;
    bool cross_entropy = job->loss->kind == FKP_LOSS_CROSS_ENTROPY;
    const float *scale = map_row(job, image, MAP_SCALE), *centre = map_row(job, image, MAP_CENTRE);
    const float *pull_x = map_row(job, image, MAP_PULL_X), *pull_y = map_row(job, image, MAP_PULL_Y);
    float *target = job->workers + worker * WORKER_ROWS * keypoints, *p = target + keypoints,
          *own = p + keypoints;
    float *workspace = own + keypoints, *ignored = workspace + keypoints;
    for (size_t cell = begin; cell < end; cell++) {
        const float *z = output_row(job, image, cell);
        float *d = job->batch->d_output + (image * cells + cell) * keypoints;
        float x = (float)(cell % width), y = (float)(cell / width);
        job->train->softmax_row(z, map_row(job, image, MAP_MAXIMUM), map_row(job, image, MAP_FACTOR), p,
                                keypoints);
        target_row(job, image, cell / width, cell % width, target);
        if (cross_entropy)
            for (size_t k = 0; k < keypoints; k++) own[k] = scale[k] * (p[k] - target[k]);
        else
            cell_loss(job, z, target, own, workspace, ignored);
        for (size_t k = 0; k < keypoints; k++)
            d[k] = own[k] + p[k] * (pull_x[k] * x + pull_y[k] * y - centre[k]);
    }
}

static double heatmaps(const fkp_context *context, const fkp_loss *loss, const fkp_loss_batch *batch) {
    heatmap_job job = {
        .context = context, .loss = loss, .batch = batch, .l = layout_of(batch->shape, batch->count)};
    fkp_train_kernels train;
    fkp_train_kernels_select(context->kernels->isa, &train);
    job.train = &train;
    job.profiles = context->scratch;
    job.bands = job.profiles + job.l.maps * (job.l.width + job.l.height);
    job.maps = job.bands + job.l.maps * job.l.bands * BAND_NUMBERS;
    job.workers = job.maps + job.l.maps * MAP_NUMBERS;
    memset(job.maps, 0, job.l.maps * MAP_NUMBERS * sizeof *job.maps);
    fkp_parallel(context->pool, batch->count, profile_task, &job);
    fkp_parallel(context->pool, batch->count * job.l.bands, first_task, &job);
    double sum = 0.0;
    for (size_t image = 0; image < batch->count; image++)
        for (size_t k = 0; k < job.l.keypoints; k++) sum += finish_map(&job, image, k);
    if (batch->d_output != NULL && needs_softmax(loss))
        fkp_parallel(context->pool, batch->count * job.l.bands, second_task, &job);
    return sum;
}

double fkp_loss_run(const fkp_context *context, const fkp_loss *loss, const fkp_loss_batch *batch) {
    return fkp_loss_is_heatmap(loss->kind) ? heatmaps(context, loss, batch) : regression(loss, batch);
}

void fkp_loss_target_maps(const fkp_loss *loss, size_t count, fkp_shape shape, const float *targets,
                          float *maps) {
    double sigma = or_default(loss->sigma, 2.33);
    for (size_t image = 0; image < count; image++)
        for (size_t k = 0; k < shape.channels; k++) {
            const float *point = targets + 2 * (image * shape.channels + k);
            float *map = maps + image * fkp_shape_floats(shape) + k;
            fkp_target_map(point, shape, sigma, map);
        }
}
