/* The thread sanitizer knows POSIX threads only: a thread that thrd_create made has no state of the sanitizer's and crashes
 * in the first malloc. librdkafka uses C11 threads, so in the tsan preset these go before glibc's and say the same in
 * POSIX words. (glibc's mtx_t and cnd_t are pthread_mutex_t and pthread_cond_t by another name.)
 */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <threads.h>

_Static_assert(sizeof(mtx_t) >= sizeof(pthread_mutex_t), "a mtx_t is a pthread_mutex_t");
_Static_assert(sizeof(cnd_t) >= sizeof(pthread_cond_t), "a cnd_t is a pthread_cond_t");

struct beginning {
	thrd_start_t run;
	void *argument;
};

static int said(int code)
{
	switch (code) {
	case 0:
		return thrd_success;
	case EBUSY:
		return thrd_busy;
	case ETIMEDOUT:
		return thrd_timedout;
	case ENOMEM:
		return thrd_nomem;
	}
	return thrd_error;
}

static void *begin(void *opaque)
{
	struct beginning beginning = *(struct beginning *)opaque;
	free(opaque);
	return (void *)(intptr_t)beginning.run(beginning.argument);
}

int thrd_create(thrd_t *thread, thrd_start_t run, void *argument)
{
	struct beginning *beginning = malloc(sizeof *beginning);
	if (beginning == NULL)
		return thrd_nomem;
	*beginning = (struct beginning){run, argument};
	int code = pthread_create(thread, NULL, begin, beginning);
	if (code != 0)
		free(beginning);
	return said(code);
}

int thrd_join(thrd_t thread, int *result)
{
	void *value = NULL;
	int code = pthread_join(thread, &value);
	if (result != NULL)
		*result = (int)(intptr_t)value;
	return said(code);
}

int mtx_init(mtx_t *mutex, int type)
{
	pthread_mutexattr_t attributes;
	(void)pthread_mutexattr_init(&attributes);
	(void)pthread_mutexattr_settype(
	    &attributes, (type & mtx_recursive) ? PTHREAD_MUTEX_RECURSIVE : PTHREAD_MUTEX_NORMAL);
	int code = pthread_mutex_init((pthread_mutex_t *)mutex, &attributes);
	(void)pthread_mutexattr_destroy(&attributes);
	return said(code);
}

int mtx_lock(mtx_t *mutex)
{
	return said(pthread_mutex_lock((pthread_mutex_t *)mutex));
}

int mtx_unlock(mtx_t *mutex)
{
	return said(pthread_mutex_unlock((pthread_mutex_t *)mutex));
}

void mtx_destroy(mtx_t *mutex)
{
	(void)pthread_mutex_destroy((pthread_mutex_t *)mutex);
}

int cnd_init(cnd_t *condition)
{
	return said(pthread_cond_init((pthread_cond_t *)condition, NULL));
}

int cnd_signal(cnd_t *condition)
{
	return said(pthread_cond_signal((pthread_cond_t *)condition));
}

int cnd_broadcast(cnd_t *condition)
{
	return said(pthread_cond_broadcast((pthread_cond_t *)condition));
}

int cnd_wait(cnd_t *condition, mtx_t *mutex)
{
	return said(pthread_cond_wait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex));
}

int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex, const struct timespec *restrict until)
{
	return said(pthread_cond_timedwait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex, until));
}

void cnd_destroy(cnd_t *condition)
{
	(void)pthread_cond_destroy((pthread_cond_t *)condition);
}
