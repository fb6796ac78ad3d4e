/* services/sink/elastic_items.h - what the answer to a bulk request means for its items; private to elastic_bulk.c. */
#ifndef ELASTIC_ITEMS_H
#define ELASTIC_ITEMS_H

#include "services/sink/elastic_bulk.h"

/* The request of a lane is done: each of its items is settled, or waits again. */
void bulk_judge(struct bulk *bulk, struct bulk_lane *lane);
/* An item is to become a dead letter. */
void bulk_refuse(struct bulk_epoch *epoch, uint32_t item, uint16_t status, const struct elastic_error *error);
/* Nothing more is sent for this epoch. */
void bulk_end(struct bulk *bulk, enum sink_outcome outcome, enum result code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
