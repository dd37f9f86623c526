/* The session's inside: everything it will ever need, taken when it opens. */
#ifndef FKP_SESSION_H
#define FKP_SESSION_H

#include "base/floating.h"
#include "base/parallel.h"
#include "decode/decode.h"
#include "facekp/model.h"
#include "image/face_crop.h"

#define FKP_MAX_BATCH 64

/* A face on its way through a batch. */
typedef struct fkp_face {
    size_t index; /* among the faces of the call */
    facekp_image image;
    fkp_affine crop; /* crop of FACEKP_INPUT_SIZE -> image */
    facekp_status status;
} fkp_face;

struct facekp_session {
    fkp_memory memory;
    facekp_model *model;
    facekp_parallel_for parallel_for; /* the host's */
    void *parallel_user;
    fkp_pool *pool;
    fkp_workspace *workspace;
    size_t batch;
    int32_t input_size;   /* side of the crop */
    size_t input_floats;  /* of one image */
    size_t output_floats; /* of one image */
    size_t keypoints;
    fkp_error error;

    /* One of each for every face of a batch. */
    fkp_face *faces;
    float *crops;       /* input_floats each */
    float *raw;         /* output_floats each */
    float *points;      /* 2 keypoints each */
    float *confidences; /* keypoints each */
};

/* Computes count crops of any number, a batch at a time. */
void fkp_session_compute(facekp_session *session, const float *input, size_t count, float *output);

#endif
