#include "common/base/stops.h"

static const struct {
	const char *name, *way;
} stops[] = {
#define STOP(name, way) {#name, way},
    STOPS(STOP)
#undef STOP
};

const char *stop_name(enum stop stop)
{
	return stops[stop].name;
}

const char *stop_way(enum stop stop)
{
	return stops[stop].way;
}
