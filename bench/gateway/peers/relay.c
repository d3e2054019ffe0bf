/*
 * A relay that changes nothing: what is left of a gateway's cost when all of SIP is taken away. It has the sockets that any relay
 * needs which is to find the way back, one towards the phones and one of its own for each phone, and moves datagrams in batches.
 *
 *     relay LAN-ADDRESS EXTERNAL-ADDRESS PROVIDER-ADDRESS FIRST-PORT
 *
 * Bounds: 4096 phones; what comes from more is dropped.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BATCH = 32, SIZE = 65536, PHONES = 4096, SLOTS = 8192, EVENTS = 64 };

struct phone {
  struct sockaddr_in address;
  int fd;
};

static struct phone phones[PHONES];
static int count;
static int slots[SLOTS];
static char data[BATCH][SIZE];
static struct sockaddr_in names[BATCH];
static struct iovec vectors[BATCH];
static struct mmsghdr headers[BATCH];

static struct sockaddr_in endpoint(const char *address, int port) {
  struct sockaddr_in e = {.sin_family = AF_INET, .sin_port = htons(port)};
  if (inet_pton(AF_INET, address, &e.sin_addr) != 1) exit(2);
  return e;
}

static int bound(struct sockaddr_in local) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), size = 4 << 20;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
  if (fd < 0 || bind(fd, (struct sockaddr *)&local, sizeof local) != 0) {
    perror("bind");
    exit(1);
  }
  return fd;
}

static void watch(int poll, int fd, int number) {
  struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)number};
  if (epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event) != 0) exit(1);
}

/* The phone's own socket, a new one where it is not known yet. */
static struct phone *phone_of(struct sockaddr_in *from, int poll, const char *external, int first_port) {
  uint32_t slot = (from->sin_addr.s_addr ^ (uint32_t)from->sin_port * 2654435761u) * 2654435761u >> 19;
  for (;; slot = (slot + 1) % SLOTS) {
    if (slots[slot] == 0) break;
    struct phone *known = &phones[slots[slot] - 1];
    if (known->address.sin_addr.s_addr == from->sin_addr.s_addr && known->address.sin_port == from->sin_port)
      return known;
  }
  if (count == PHONES) return NULL;
  struct phone *phone = &phones[count];
  phone->address = *from;
  phone->fd = bound(endpoint(external, first_port + count));
  slots[slot] = ++count;
  watch(poll, phone->fd, count);
  return phone;
}

static int receive(int fd) {
  for (int i = 0; i < BATCH; i++) {
    vectors[i] = (struct iovec){data[i], SIZE};
    headers[i].msg_hdr = (struct msghdr){.msg_name = &names[i], .msg_namelen = sizeof names[i], .msg_iov = &vectors[i], .msg_iovlen = 1};
  }
  return recvmmsg(fd, headers, BATCH, MSG_DONTWAIT, NULL);
}

int main(int argc, char **argv) {
  if (argc != 5) return 2;
  struct sockaddr_in provider = endpoint(argv[3], 5060);
  int lan = bound(endpoint(argv[1], 5060)), poll = epoll_create1(0);
  watch(poll, lan, 0);
  puts("ready");
  fflush(stdout);
  for (;;) {
    struct epoll_event events[EVENTS];
    int ready = epoll_wait(poll, events, EVENTS, -1);
    for (int e = 0; e < ready; e++) {
      uint32_t number = events[e].data.u32;
      int got = receive(number == 0 ? lan : phones[number - 1].fd);
      for (int i = 0; i < got; i++) {
        vectors[i].iov_len = headers[i].msg_len;
        if (number == 0) {
          struct phone *phone = phone_of(&names[i], poll, argv[2], atoi(argv[4]));
          names[i] = provider;
          if (phone != NULL) sendmsg(phone->fd, &headers[i].msg_hdr, MSG_DONTWAIT);
        } else names[i] = phones[number - 1].address;
      }
      if (number != 0)
        for (int sent = 0; sent < got;) {
          int n = sendmmsg(lan, headers + sent, got - sent, MSG_DONTWAIT);
          sent += n > 0 ? n : 1;
        }
    }
  }
}
