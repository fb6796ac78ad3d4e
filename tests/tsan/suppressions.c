/* What the thread sanitizer is not to report, in every program of the tsan preset: races inside libraries that were built
 * without it, and whose atomics it therefore does not see. Nothing of ours belongs here. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_options(void);

const char *__tsan_default_suppressions(void)
{
	return "race:librdkafka.so\nrace:libleveldb.so\n";
}

/* Processes end by _exit or exec, whatever their threads do. */
const char *__tsan_default_options(void)
{
	return "report_thread_leaks=0";
}
