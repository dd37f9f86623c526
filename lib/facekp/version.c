#include "base/status.h"

#define STRING_OF(x) #x
#define VERSION_TEXT(major, minor, patch) STRING_OF(major) "." STRING_OF(minor) "." STRING_OF(patch)

const char *facekp_status_string(facekp_status status) { return fkp_status_string(status); }
int32_t facekp_keypoint_count(void) { return FACEKP_KEYPOINTS; }
int32_t facekp_input_size(void) { return FACEKP_INPUT_SIZE; }
int32_t facekp_version(void) {
    return FACEKP_VERSION_MAJOR * 10000 + FACEKP_VERSION_MINOR * 100 + FACEKP_VERSION_PATCH;
}
const char *facekp_version_string(void) {
    return VERSION_TEXT(FACEKP_VERSION_MAJOR, FACEKP_VERSION_MINOR, FACEKP_VERSION_PATCH);
}
