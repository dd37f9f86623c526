#include "results.h"

#include <errno.h>
#include <string.h>

#include "command.h"
#include "paths.h"
#include "text.h"

static double mean_confidence(const face_result *result, size_t keypoints) {
    double sum = 0.0;
    for (size_t i = 0; i < keypoints; i++) sum += (double)result->confidences[i];
    return sum / (double)keypoints;
}

/* ---- CSV: one wide row a face, columns named as OpenFace names them ---- */

static void write_csv_header(FILE *stream, size_t keypoints) {
    fputs("file,face_id,confidence,success", stream);
    for (const char *axis = "xy"; *axis != '\0'; axis++)
        for (size_t i = 0; i < keypoints; i++) fprintf(stream, ",%c_%zu", *axis, i);
    fputc('\n', stream);
}

static void write_csv(FILE *stream, const face_result *result, size_t keypoints) {
    write_csv_cell(stream, result->file);
    if (result->error != NULL) {
        fprintf(stream, ",%zu,0,0", result->face);
        for (size_t i = 0; i < 2 * keypoints; i++) fputs(",0", stream);
    } else {
        fprintf(stream, ",%zu,%.4f,1", result->face, mean_confidence(result, keypoints));
        for (size_t axis = 0; axis < 2; axis++)
            for (size_t i = 0; i < keypoints; i++)
                fprintf(stream, ",%.3f", (double)result->points[2 * i + axis]);
    }
    fputc('\n', stream);
}

/* ---- JSON: a list of faces ---- */

static void write_json_numbers(FILE *stream, const char *name, const float *numbers, size_t count,
                               int digits) {
    fprintf(stream, ", \"%s\": [", name);
    for (size_t i = 0; i < count; i++)
        fprintf(stream, "%s%.*f", i == 0 ? "" : ", ", digits, (double)numbers[i]);
    fputc(']', stream);
}

static void write_json(FILE *stream, const face_result *result, size_t keypoints) {
    fputs("{\"file\": ", stream);
    write_json_string(stream, result->file);
    fprintf(stream, ", \"face\": %zu", result->face);
    if (result->box != NULL) write_json_numbers(stream, "box", result->box, 4, 3);
    if (result->error != NULL) {
        fputs(", \"success\": false, \"error\": ", stream);
        write_json_string(stream, result->error);
    } else {
        fprintf(stream, ", \"success\": true, \"confidence\": %.4f, \"points\": [",
                mean_confidence(result, keypoints));
        for (size_t i = 0; i < keypoints; i++)
            fprintf(stream, "%s[%.3f, %.3f]", i == 0 ? "" : ", ", (double)result->points[2 * i],
                    (double)result->points[2 * i + 1]);
        fputc(']', stream);
        write_json_numbers(stream, "confidences", result->confidences, keypoints, 4);
        write_json_numbers(stream, "transform", result->transform, 6, 6);
    }
    fputc('}', stream);
}

/* ---- .pts of the 300-W annotation, which counts pixels from 1 ---- */

static void write_pts(FILE *stream, const face_result *result, size_t keypoints) {
    fprintf(stream, "version: 1\nn_points: %zu\n{\n", keypoints);
    for (size_t i = 0; i < keypoints; i++)
        fprintf(stream, "%.3f %.3f\n", (double)result->points[2 * i] + 1.0,
                (double)result->points[2 * i + 1] + 1.0);
    fputs("}\n", stream);
}

static bool close_stream(FILE *stream, const char *name) {
    const bool failed = ferror(stream) != 0 || fflush(stream) != 0;
    if ((stream != stdout && fclose(stream) != 0) || failed) {
        complain("%s: could not be written: %s", name, strerror(errno));
        return false;
    }
    return true;
}

static bool write_pts_file(const result_writer *writer, const face_result *result) {
    char path[PATH_BYTES];
    if (!output_path(path, writer->folder, result->file, result->face, ".pts")) return false;
    FILE *stream = fopen(path, "w");
    if (stream == NULL) {
        complain("%s: %s", path, strerror(errno));
        return false;
    }
    write_pts(stream, result, writer->keypoints);
    return close_stream(stream, path);
}

/* ---- the writer ---- */

bool results_open(result_writer *writer, result_format format, size_t keypoints, const char *output) {
    *writer = (result_writer){.format = format, .keypoints = keypoints, .stream = stdout};
    if (format == RESULT_PTS && output != NULL && is_folder(output)) {
        writer->folder = output;
        writer->stream = NULL;
        return true;
    }
    if (output != NULL) writer->stream = fopen(output, "w");
    if (writer->stream == NULL) {
        complain("%s: %s", output, strerror(errno));
        return false;
    }
    if (format == RESULT_CSV) write_csv_header(writer->stream, keypoints);
    if (format == RESULT_JSON) fputc('[', writer->stream);
    return true;
}

bool results_write(result_writer *writer, const face_result *result) {
    if (writer->format == RESULT_CSV) {
        write_csv(writer->stream, result, writer->keypoints);
    } else if (writer->format == RESULT_JSON) {
        fputs(writer->written == 0 ? "\n" : ",\n", writer->stream);
        write_json(writer->stream, result, writer->keypoints);
    } else if (result->error == NULL) {
        if (writer->folder != NULL && !write_pts_file(writer, result)) return false;
        if (writer->folder == NULL) write_pts(writer->stream, result, writer->keypoints);
    }
    writer->written++;
    return true;
}

bool results_close(result_writer *writer) {
    if (writer->stream == NULL) return true;
    if (writer->format == RESULT_JSON) fputs(writer->written == 0 ? "]\n" : "\n]\n", writer->stream);
    return close_stream(writer->stream, "the results");
}
