/** @file version.h
 *  Version numbers of libfacekp and the export decoration. CMake reads the numbers from here. */
#ifndef FACEKP_VERSION_H
#define FACEKP_VERSION_H

#define FACEKP_VERSION_MAJOR 0 /**< of the header; facekp_version() tells the library's */
#define FACEKP_VERSION_MINOR 1 /**< of the header */
#define FACEKP_VERSION_PATCH 0 /**< of the header */

/** Number of the binary interface; the SONAME carries it. It changes only when an existing program would
 * break. */
#define FACEKP_ABI 0

/** @def FACEKP_API
 *  A public symbol. */
/** @def FACEKP_CHECK_RESULT
 *  A function whose status must not be ignored. */
#if defined(_WIN32) && defined(FACEKP_SHARED)
#ifdef FACEKP_BUILDING
#define FACEKP_API __declspec(dllexport)
#else
#define FACEKP_API __declspec(dllimport)
#endif
#elif defined(__GNUC__)
#define FACEKP_API __attribute__((visibility("default")))
#else
#define FACEKP_API
#endif

#if defined(__GNUC__)
#define FACEKP_CHECK_RESULT __attribute__((warn_unused_result))
#else
#define FACEKP_CHECK_RESULT
#endif

#endif
