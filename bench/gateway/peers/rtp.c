/*
 * RTP for measuring, cheap enough that what is measured is what stands between: a sender of many streams and a sink.
 *
 *     rtp send RATE SECONDS LINGER FIRST < streams      one a line: LOCAL-ADDRESS LOCAL-PORT REMOTE-ADDRESS REMOTE-PORT
 *     rtp sink ADDRESS PORT echo|count     until SIGTERM
 *
 * The sender takes the streams in turn, RATE packets a second of all together, 0 as fast as it goes. A packet has 172 octets, as
 * PCMU of 20 ms; it holds the number of the stream (SSRC), counted from FIRST, and the time of sending. After the last one it goes on to receive for LINGER seconds.
 * The sink answers each packet to where it came from, or only counts. Each says one line of JSON at its end: the delay of what it received is from the other end's call into the kernel to
 * its own return from it, in microseconds; both read the same clock.
 *
 * Bounds: 4096 streams; delays from a second on count as one.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { STREAMS = 4096, BATCH = 64, SIZE = 2048, OCTETS = 172, DELAYS = 1000000, EVENTS = 256 };
enum { SSRC = 8, SENT_AT = 16 };

struct stream {
  int fd;
  struct sockaddr_in remote;
  uint16_t serial;
};

static struct stream streams[STREAMS];
static int count;
static uint32_t received[STREAMS];
static struct sockaddr_in sources[STREAMS];
static uint32_t delays[DELAYS + 1];
static char data[BATCH][SIZE];
static struct sockaddr_in names[BATCH];
static struct iovec vectors[BATCH];
static struct mmsghdr headers[BATCH];
static volatile sig_atomic_t over;

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static struct sockaddr_in endpoint(const char *address, int port) {
  struct sockaddr_in e = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  if (inet_pton(AF_INET, address, &e.sin_addr) != 1) exit(2);
  return e;
}

static int bound(struct sockaddr_in local, int size) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
  if (fd < 0 || bind(fd, (struct sockaddr *)&local, sizeof local) != 0) {
    perror("bind");
    exit(1);
  }
  return fd;
}

/* Reads what has come; sends it back where `echo` says so. */
static int take(int fd, int echo) {
  for (int i = 0; i < BATCH; i++) {
    vectors[i] = (struct iovec){data[i], SIZE};
    headers[i].msg_hdr = (struct msghdr){.msg_name = &names[i], .msg_namelen = sizeof names[i], .msg_iov = &vectors[i], .msg_iovlen = 1};
  }
  int got = recvmmsg(fd, headers, BATCH, MSG_DONTWAIT, NULL);
  uint64_t at = now();
  for (int i = 0; i < got; i++) {
    uint32_t stream;
    uint64_t sent;
    memcpy(&stream, data[i] + SSRC, sizeof stream);
    memcpy(&sent, data[i] + SENT_AT, sizeof sent);
    vectors[i].iov_len = headers[i].msg_len;
    if (headers[i].msg_len != OCTETS || stream >= STREAMS) continue;
    if (received[stream]++ == 0) sources[stream] = names[i];
    uint64_t delay = (at - sent) / 1000;
    delays[delay < DELAYS ? delay : DELAYS]++;
    memcpy(data[i] + SENT_AT, &at, sizeof at);
  }
  if (echo)
    for (int sent = 0; sent < got;) {
      int n = sendmmsg(fd, headers + sent, (unsigned)(got - sent), MSG_DONTWAIT);
      sent += n > 0 ? n : 1;
    }
  return got;
}

static uint32_t percentile(uint64_t all, double share) {
  uint64_t below = 0;
  for (uint32_t i = 0; i <= DELAYS; i++)
    if ((below += delays[i]) > (uint64_t)((double)all * share)) return i;
  return 0;
}

/* What came: how long it took, and of each stream how much and from where. */
static void tell(int upto, int where) {
  uint64_t all = 0;
  for (int i = 0; i <= DELAYS; i++) all += delays[i];
  printf("\"received\":%llu,\"p50Us\":%u,\"p99Us\":%u,\"p999Us\":%u,\"streams\":[", (unsigned long long)all,
         percentile(all, 0.5), percentile(all, 0.99), percentile(all, 0.999));
  for (int i = 0; i < upto; i++) printf("%s%u", i ? "," : "", received[i]);
  printf("]");
  if (where) {
    printf(",\"sources\":[");
    for (int i = 0; i < upto; i++)
      printf("%s\"%s:%d\"", i ? "," : "", inet_ntoa(sources[i].sin_addr), ntohs(sources[i].sin_port));
    printf("]");
  }
  printf("}\n");
  fflush(stdout);
}

/* Whoever has read the line ends us: an end might be seen before the line is. */
static _Noreturn void stay(void) {
  for (;;) pause();
}

static void on_term(int signal) {
  (void)signal;
  over = 1;
}

static int sink(const char *address, int port, int echo) {
  int fd = bound(endpoint(address, port), 64 << 20), poll = epoll_create1(0), last = 0;
  struct epoll_event event = {.events = EPOLLIN};
  struct sigaction action = {.sa_handler = on_term};
  sigaction(SIGTERM, &action, NULL);
  if (epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event) != 0) return 1;
  puts("ready");
  fflush(stdout);
  struct timespec pause = {0, 500000};
  while (!over) {
    /* Who only counts looks now and then: to be woken for each packet would be charged to the sender. */
    if (echo) epoll_wait(poll, &event, 1, -1);
    else nanosleep(&pause, NULL);
    while (take(fd, echo) == BATCH && !over) continue;
  }
  while (take(fd, 0) > 0) continue;
  for (int i = 0; i < STREAMS; i++)
    if (received[i] > 0) last = i + 1;
  printf("{");
  tell(last, 1);
  stay();
}

static int send_all(double rate, double seconds, double linger, uint32_t first) {
  char local[64], remote[64];
  int local_port, remote_port, poll = epoll_create1(0);
  while (count < STREAMS && scanf("%63s %d %63s %d", local, &local_port, remote, &remote_port) == 4) {
    struct stream *one = &streams[count];
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)count};
    one->fd = bound(endpoint(local, local_port), 1 << 20);
    one->remote = endpoint(remote, remote_port);
    if (epoll_ctl(poll, EPOLL_CTL_ADD, one->fd, &event) != 0) return 1;
    count++;
  }
  if (count == 0) return 2;
  static char packet[OCTETS] = {(char)0x80};
  uint64_t sent = 0, refused = 0, began = now(), end = began + (uint64_t)(seconds * 1e9), last = 0;
  struct rusage before, after;
  getrusage(RUSAGE_SELF, &before);
  for (;;) {
    uint64_t at = now();
    if (at < end) {
      uint64_t due = rate == 0 ? sent + BATCH : (uint64_t)((double)(at - began) * rate / 1e9);
      /* Now and then what has come is read, however late we are. */
      for (int burst = 0; sent < due && burst < 4096; burst++, sent++) {
        uint32_t number = (uint32_t)(sent % (uint64_t)count);
        struct stream *one = &streams[number];
        uint16_t serial = htons(one->serial++);
        uint32_t ssrc = first + number;
        at = now();
        memcpy(packet + 2, &serial, sizeof serial);
        memcpy(packet + SSRC, &ssrc, sizeof ssrc);
        memcpy(packet + SENT_AT, &at, sizeof at);
        if (sendto(one->fd, packet, OCTETS, MSG_DONTWAIT, (struct sockaddr *)&one->remote, sizeof one->remote) < 0) refused++;
      }
      last = now();
    } else {
      if (last != 0) {
        getrusage(RUSAGE_SELF, &after);
        seconds = (double)(last - began) / 1e9;
        last = 0;
      }
      if (at >= end + (uint64_t)(linger * 1e9)) break;
    }
    struct epoll_event events[EVENTS];
    struct timespec wait = {0, rate == 0 && at < end ? 0 : 200000};
    if (rate == 0 && at < end) continue;
    int ready = epoll_pwait2(poll, events, EVENTS, &wait, NULL);
    for (int i = 0; i < ready; i++) take(streams[events[i].data.u32].fd, 0);
  }
  double cpu = (double)(after.ru_utime.tv_sec + after.ru_stime.tv_sec - before.ru_utime.tv_sec - before.ru_stime.tv_sec) +
               (double)(after.ru_utime.tv_usec + after.ru_stime.tv_usec - before.ru_utime.tv_usec - before.ru_stime.tv_usec) / 1e6;
  printf("{\"sent\":%llu,\"refused\":%llu,\"seconds\":%.6f,\"cpuS\":%.6f,", (unsigned long long)(sent - refused),
         (unsigned long long)refused, seconds, cpu);
  tell((int)first + count, 0);
  stay();
}

int main(int argc, char **argv) {
  if (argc == 6 && strcmp(argv[1], "send") == 0)
    return send_all(atof(argv[2]), atof(argv[3]), atof(argv[4]), (uint32_t)atoi(argv[5]));
  if (argc == 5 && strcmp(argv[1], "sink") == 0) return sink(argv[2], atoi(argv[3]), strcmp(argv[4], "echo") == 0);
  fputs("rtp send RATE SECONDS LINGER FIRST | rtp sink ADDRESS PORT echo|count\n", stderr);
  return 2;
}
