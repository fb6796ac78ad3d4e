#include "common/runtime/job_plan.h"

const struct job_plan job_plans[JOBS] = {
    [JOB_TOTALS] =
        {
            .edges =
                {
                    {ROLE_INGEST, ROLE_DEDUP},
                    {ROLE_DEDUP, ROLE_ROLLUP},
                    {ROLE_DEDUP, ROLE_WRITER},
                    {ROLE_ROLLUP, ROLE_WRITER},
                },
            .edges_len = 4,
            .has_checkpoints = true,
            .has_letters = true,
            .plain_group = true,
            .touch_us = 30000000, /* sluice.other_runner waits longer than that */
        },
    [JOB_SEARCH] =
        {
            .edges = {{ROLE_INGEST, ROLE_WRITER}},
            .edges_len = 1,
            .many_writers = true,
            .own_frontiers = true,
            .counts_at_sink = true,
            .shows_next = true,
            .touch_us = 5000000, /* nobody else looks at its indices; RUNNER_SILENCE_MS is longer than that */
        },
};
