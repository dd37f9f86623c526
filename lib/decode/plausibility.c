#include "decode/plausibility.h"

#include <math.h>
#include <string.h>

#include "facekp/facekp.h"

/* Mean x, mean y, standard deviation an axis, of 3462 faces at rms size 1 around the origin; made by
 * mean_face.py from the training set. */
static const float mean_face[FACEKP_KEYPOINTS][3] = {
    {-1.3619f, -0.6699f, 0.2542f}, {-1.3450f, -0.3115f, 0.2321f}, {-1.2867f, 0.0130f, 0.2258f},
    {-1.2196f, 0.3280f, 0.2208f},  {-1.1061f, 0.6767f, 0.2046f},  {-0.9125f, 0.9677f, 0.1657f},
    {-0.6991f, 1.1610f, 0.1139f},  {-0.4213f, 1.3311f, 0.0727f},  {0.0f, 1.4418f, 0.0684f},
    {0.4213f, 1.3311f, 0.0727f},   {0.6991f, 1.1610f, 0.1139f},   {0.9125f, 0.9677f, 0.1657f},
    {1.1061f, 0.6767f, 0.2046f},   {1.2196f, 0.3280f, 0.2208f},   {1.2867f, 0.0130f, 0.2258f},
    {1.3450f, -0.3115f, 0.2321f},  {1.3619f, -0.6699f, 0.2542f},  {-1.0324f, -1.0017f, 0.1011f},
    {-0.8738f, -1.1069f, 0.0897f}, {-0.6754f, -1.1395f, 0.0912f}, {-0.4932f, -1.1210f, 0.0957f},
    {-0.3312f, -1.0752f, 0.0977f}, {0.3312f, -1.0752f, 0.0977f},  {0.4932f, -1.1210f, 0.0957f},
    {0.6754f, -1.1395f, 0.0912f},  {0.8738f, -1.1069f, 0.0897f},  {1.0324f, -1.0017f, 0.1011f},
    {0.0f, -0.6873f, 0.0943f},     {0.0f, -0.4455f, 0.1273f},     {0.0f, -0.2175f, 0.1660f},
    {0.0f, -0.0233f, 0.1736f},     {-0.2200f, 0.1158f, 0.0869f},  {-0.1258f, 0.1440f, 0.1021f},
    {0.0f, 0.1732f, 0.1093f},      {0.1258f, 0.1440f, 0.1021f},   {0.2200f, 0.1158f, 0.0869f},
    {-0.7837f, -0.7142f, 0.0743f}, {-0.6567f, -0.7603f, 0.0696f}, {-0.4958f, -0.7602f, 0.0628f},
    {-0.3478f, -0.6940f, 0.0507f}, {-0.4850f, -0.6474f, 0.0581f}, {-0.6535f, -0.6475f, 0.0647f},
    {0.3478f, -0.6940f, 0.0507f},  {0.4958f, -0.7602f, 0.0628f},  {0.6567f, -0.7603f, 0.0696f},
    {0.7837f, -0.7142f, 0.0743f},  {0.6535f, -0.6475f, 0.0647f},  {0.4850f, -0.6474f, 0.0581f},
    {-0.4625f, 0.5618f, 0.0684f},  {-0.3054f, 0.4626f, 0.0878f},  {-0.1049f, 0.4016f, 0.1085f},
    {0.0f, 0.4228f, 0.1100f},      {0.1049f, 0.4016f, 0.1085f},   {0.3054f, 0.4626f, 0.0878f},
    {0.4625f, 0.5618f, 0.0684f},   {0.2973f, 0.7025f, 0.0807f},   {0.1558f, 0.7818f, 0.0951f},
    {0.0f, 0.7971f, 0.0992f},      {-0.1558f, 0.7818f, 0.0951f},  {-0.2973f, 0.7025f, 0.0807f},
    {-0.4292f, 0.5564f, 0.0679f},  {-0.1366f, 0.5222f, 0.0902f},  {0.0f, 0.5174f, 0.0957f},
    {0.1366f, 0.5222f, 0.0902f},   {0.4292f, 0.5564f, 0.0679f},   {0.1350f, 0.6181f, 0.0921f},
    {0.0f, 0.6311f, 0.0965f},      {-0.1350f, 0.6181f, 0.0921f},
};

/* How many standard deviations of real faces a point may stray before its confidence has fallen to exp(-1/2).
 */
static const double tolerance = 3.0;

void fkp_shape_plausibility(const float *points, size_t count, float *confidences) {
    memset(confidences, 0, count * sizeof *confidences);
    if (count != FACEKP_KEYPOINTS) return;
    double middle_x = 0.0, middle_y = 0.0;
    for (size_t i = 0; i < count; i++) {
        middle_x += (double)points[2 * i] / (double)count;
        middle_y += (double)points[2 * i + 1] / (double)count;
    }
    /* The similarity (a, b) that takes the shape, moved to the origin, onto the mean face in least squares.
     */
    double size = 0.0, a = 0.0, b = 0.0;
    for (size_t i = 0; i < count; i++) {
        const double x = (double)points[2 * i] - middle_x, y = (double)points[2 * i + 1] - middle_y;
        const double mean_x = (double)mean_face[i][0], mean_y = (double)mean_face[i][1];
        size += x * x + y * y;
        a += x * mean_x + y * mean_y;
        b += x * mean_y - y * mean_x;
    }
    if (!(size > 1e-6 * (double)count) || !isfinite(size)) return;
    a /= size;
    b /= size;
    for (size_t i = 0; i < count; i++) {
        const double x = (double)points[2 * i] - middle_x, y = (double)points[2 * i + 1] - middle_y;
        const double away_x = a * x - b * y - (double)mean_face[i][0];
        const double away_y = b * x + a * y - (double)mean_face[i][1];
        const double spread = tolerance * (double)mean_face[i][2];
        confidences[i] = (float)exp(-(away_x * away_x + away_y * away_y) / (2.0 * spread * spread));
    }
}
