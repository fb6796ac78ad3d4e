extern "C" {
#include "common/state/level.h"
}

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>

#include <fcntl.h>
#include <unistd.h>

#include <leveldb/cache.h>
#include <leveldb/db.h>
#include <leveldb/env.h>
#include <leveldb/write_batch.h>

namespace
{

constexpr size_t block_size = 8 * 1024;

leveldb::Status io_error(const std::string &name, int reason)
{
	return reason == ENOENT ? leveldb::Status::NotFound(name, std::strerror(reason))
	                        : leveldb::Status::IOError(name, std::strerror(reason));
}

class pread_file final : public leveldb::RandomAccessFile
{
      public:
	pread_file(std::string name, int fd) : name_(std::move(name)), fd_(fd)
	{
	}
	~pread_file() override
	{
		(void)close(fd_);
	}
	leveldb::Status Read(uint64_t offset, size_t n, leveldb::Slice *result, char *scratch) const override
	{
		ssize_t got;
		do
			got = pread(fd_, scratch, n, static_cast<off_t>(offset));
		while (got < 0 && errno == EINTR);
		*result = leveldb::Slice(scratch, got < 0 ? 0 : static_cast<size_t>(got));
		return got < 0 ? io_error(name_, errno) : leveldb::Status::OK();
	}

      private:
	const std::string name_;
	const int fd_;
};

class pread_env final : public leveldb::EnvWrapper
{
      public:
	pread_env() : EnvWrapper(leveldb::Env::Default())
	{
	}
	leveldb::Status NewRandomAccessFile(const std::string &name, leveldb::RandomAccessFile **file) override
	{
		*file = nullptr;
		int fd = open(name.c_str(), O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return io_error(name, errno);
		*file = new pread_file(name, fd);
		return leveldb::Status::OK();
	}
};

leveldb::Env *env()
{
	static pread_env one;
	return &one;
}

leveldb::Slice slice(struct bytes bytes)
{
	return {reinterpret_cast<const char *>(bytes.data), bytes.len};
}

enum result failed(const leveldb::Status &status, struct error *error)
{
	enum result code = status.IsIOError() && status.ToString().find("No space") != std::string::npos
	                       ? RESULT_RETRY
	                       : RESULT_CORRUPT;
	return error_set(error, code, "leveldb: %s", status.ToString().c_str());
}

leveldb::ReadOptions reading()
{
	leveldb::ReadOptions options;
	options.verify_checksums = true;
	return options;
}

} // namespace

struct level_cache {
	std::unique_ptr<leveldb::Cache> cache;
};

struct level {
	std::unique_ptr<leveldb::DB> db;
};

struct level_batch {
	leveldb::WriteBatch batch;
};

extern "C" {

struct level_cache *level_cache_new(size_t bytes)
{
	auto *one = new level_cache;
	one->cache.reset(leveldb::NewLRUCache(bytes));
	return one;
}

void level_cache_free(struct level_cache *cache)
{
	delete cache;
}

enum result level_open(struct level **opened, const char *path, const struct level_limits *limits, struct error *error)
{
	auto one = std::make_unique<level>();
	leveldb::DB *db = nullptr;
	leveldb::Options options;
	options.env = env();
	options.create_if_missing = true;
	options.paranoid_checks = true;
	options.compression = leveldb::kNoCompression; /* keys are mostly random */
	options.block_size = block_size;
	options.block_cache = limits->cache->cache.get();
	options.write_buffer_size = limits->write_buffer;
	options.max_file_size = limits->file_bytes;
	options.max_open_files = limits->files_open;
	leveldb::Status status = leveldb::DB::Open(options, path, &db);
	if (!status.ok())
		return failed(status, error);
	one->db.reset(db);
	*opened = one.release();
	return RESULT_OK;
}

void level_close(struct level *level)
{
	delete level;
}

enum result level_get(struct level *level, struct bytes key, struct buffer *value, bool *found, struct error *error)
{
	thread_local std::string text;
	leveldb::Status status = level->db->Get(reading(), slice(key), &text);
	*found = status.ok();
	if (status.IsNotFound())
		return RESULT_OK;
	if (!status.ok())
		return failed(status, error);
	buffer_append(value, text.data(), text.size());
	return RESULT_OK;
}

struct level_batch *level_batch_new(void)
{
	return new level_batch;
}

void level_batch_free(struct level_batch *batch)
{
	delete batch;
}

void level_batch_put(struct level_batch *batch, struct bytes key, struct bytes value)
{
	batch->batch.Put(slice(key), slice(value));
}

enum result level_write(struct level *level, struct level_batch *batch, struct error *error)
{
	leveldb::Status status = level->db->Write(leveldb::WriteOptions(), &batch->batch);
	batch->batch.Clear();
	return status.ok() ? RESULT_OK : failed(status, error);
}
}
