/* Sends the frames of files out of interfaces, as the kernel's XDP makes them (BPF_F_TEST_XDP_LIVE_FRAMES).
 *
 *   xdp_source PROGRAM LENGTH SECONDS INTERFACE FILE [INTERFACE FILE]
 *
 * SECONDS 0 sends each frame once, in order; otherwise any of them at random, from the files in turns, for so long.
 * Prints how many it sent, the seconds, and the ticks of the time stamp counter that they took. */
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#define SIDES 2
/* Frames in one call, and in one burst of the receiving interface. */
#define CHUNK 4096
#define BATCH 64

struct control {
	__u32 interface, count, random, next;
};

struct side {
	int program;
	__u32 count;
};

static unsigned long long ticks(void)
{
#ifdef __x86_64__
	return __builtin_ia32_rdtsc();
#else
	return 0;
#endif
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec * 1e-9;
}

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static struct side load(const char *program, size_t length, int random, const char *interface, const char *file)
{
	size_t step = (length + 7) / 8 * 8;
	struct control control = {.interface = if_nametoindex(interface), .random = random};
	struct bpf_object *object = bpf_object__open_file(program, NULL);
	struct bpf_map *frames;
	struct stat stat;
	struct side side;
	__u32 zero = 0;
	char *from, *to;
	int fd = open(file, O_RDONLY);

	if (control.interface == 0)
		fail(interface);
	if (fd < 0 || fstat(fd, &stat) != 0)
		fail(file);
	if (object == NULL)
		fail(program);
	side.count = control.count = stat.st_size / length;
	if (side.count == 0)
		return side;
	frames = bpf_object__find_map_by_name(object, "frames");
	if (frames == NULL || bpf_map__set_max_entries(frames, side.count) != 0 || bpf_object__load(object) != 0)
		fail(program);
	from = mmap(NULL, stat.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	to = mmap(NULL, side.count * step, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(frames), 0);
	if (from == MAP_FAILED || to == MAP_FAILED)
		fail("mmap");
	for (size_t i = 0; i < side.count; i++)
		memcpy(to + i * step, from + i * length, length);
	munmap(from, stat.st_size);
	munmap(to, side.count * step);
	close(fd);
	if (bpf_map_update_elem(bpf_map__fd(bpf_object__find_map_by_name(object, "control")), &zero, &control, 0) != 0)
		fail("control");
	side.program = bpf_program__fd(bpf_object__find_program_by_name(object, "source"));
	return side;
}

static void run(const struct side *side, size_t length, unsigned int count)
{
	static unsigned char frame[128];
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = length, .repeat = count,
		    .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = count < BATCH ? count : BATCH);

	if (bpf_prog_test_run_opts(side->program, &options) != 0)
		fail("bpf_prog_test_run");
}

int main(int argc, char **argv)
{
	struct side sides[SIDES];
	unsigned long long sent = 0, first;
	size_t length;
	double seconds, begin;
	int count;

	if (argc != 6 && argc != 8) {
		fprintf(stderr, "usage: xdp_source PROGRAM LENGTH SECONDS INTERFACE FILE [INTERFACE FILE]\n");
		return 2;
	}
	length = strtoul(argv[2], NULL, 10);
	seconds = atof(argv[3]);
	count = (argc - 4) / 2;
	for (int i = 0; i < count; i++)
		sides[i] = load(argv[1], length, seconds > 0, argv[4 + 2 * i], argv[5 + 2 * i]);
	begin = now();
	first = ticks();
	if (seconds > 0) {
		for (int i = 0; now() - begin < seconds; i = (i + 1) % count) {
			run(&sides[i], length, CHUNK);
			sent += CHUNK;
		}
	} else {
		for (int i = 0; i < count; i++)
			for (unsigned int done = 0; done < sides[i].count; done += CHUNK) {
				unsigned int rest = sides[i].count - done;

				run(&sides[i], length, rest < CHUNK ? rest : CHUNK);
				sent += rest < CHUNK ? rest : CHUNK;
			}
	}
	printf("%llu %.6f %llu\n", sent, now() - begin, ticks() - first);
	return 0;
}
