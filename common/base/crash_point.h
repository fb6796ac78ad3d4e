/* common/base/crash_point.h - places where a process can be made to die, so that a test sees what comes of it.
 *
 * CRASH_POINT(name) stands before and after what lasts: a file, a transaction, a message that others act upon. It is nothing in
 * every build but one with SLUICE_CRASH_POINTS (the preset crash). There, a process whose environment names a folder as
 * SLUICE_CRASH_FOLDER dies of SIGKILL at a point when a file of the point's name is in the folder; the file is gone then, so
 * one process dies, once. All points are in crash_points.h, with what a test has to do so that they are passed.
 */
#ifndef BASE_CRASH_POINT_H
#define BASE_CRASH_POINT_H

#ifdef SLUICE_CRASH_POINTS
#include "common/base/crash_points.h"
#define CRASH_POINT_ENUM(name, kind, when) CRASH_POINT_##name,
enum crash_point { CRASH_POINTS(CRASH_POINT_ENUM) };
void crash_point_pass(enum crash_point point);
#define CRASH_POINT(name) crash_point_pass(CRASH_POINT_##name)
#else
#define CRASH_POINT(name) ((void)0)
#endif

#endif
