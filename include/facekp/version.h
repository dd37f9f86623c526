/** @file version.h
 *  Version numbers of libfacekp and the export decoration. CMake reads the numbers from here. */
#ifndef FACEKP_VERSION_H
#define FACEKP_VERSION_H

#define FACEKP_VERSION_MAJOR 0
#define FACEKP_VERSION_MINOR 1
#define FACEKP_VERSION_PATCH 0

/** Number of the binary interface; the SONAME carries it. It changes only when an existing program would
 * break. */
#define FACEKP_ABI 0

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
