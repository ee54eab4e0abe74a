/* Upstream stub: an MCP server with one tool, as cheap as one thread and epoll can make it.
 *
 * stub PORT    listens on 127.0.0.1 (0: any free port), prints `listening PORT`, ends when
 *              its standard input closes.
 * POST /mcp     answers JSON; POST /mcp-sse answers one SSE event. Both eras: 2026-07-28 by
 *              `_meta`, else the handshake. stub.py beside this file answers byte for byte the same.
 *
 * Only for measuring: it trusts its peer, and reads of JSON what it needs: id, method, version.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_FD 65536
#define MAX_REQUEST (8 << 20) /* bytes, head and body */
#define FIRST_BUFFER (16 << 10)

static const char *TOOLS =
    "\"tools\":[{\"name\":\"echo\",\"description\":\"Answer with a short text\",\"inputSchema\":{\"type\":\"object\","
    "\"properties\":{\"text\":{\"type\":\"string\"},\"n\":{\"type\":\"integer\"}},\"required\":[\"text\"]}}]";
static const char *CALL =
    "\"content\":[{\"type\":\"text\",\"text\":\"hello from the stub tool, this is a short answer of typical size for a "
    "tool call result\"}],\"isError\":false";
static const char *ABOUT = "\"capabilities\":{\"tools\":{\"listChanged\":false}}";
static const char *SERVER = "{\"name\":\"stub\",\"version\":\"1.0\"}";
static const char *CACHE = "\"ttlMs\":60000,\"cacheScope\":\"public\"";
static const char *ACCEPTED = "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";
static const char *NOT_ALLOWED = "HTTP/1.1 405 Method Not Allowed\r\nAllow: POST\r\nContent-Length: 0\r\n\r\n";

typedef struct { char *at; long n; } span;
typedef struct { char *data; long used, size; } conn;
static conn *conns[MAX_FD];

static void put(int fd, const char *p, long n) {
  while (n > 0) {
    ssize_t k = write(fd, p, n);
    if (k < 0) {
      if (errno == EAGAIN) { struct pollfd w = {.fd = fd, .events = POLLOUT}; poll(&w, 1, 100); continue; }
      return;
    }
    p += k; n -= k;
  }
}

static void drop(int fd) {
  close(fd);
  free(conns[fd]->data); free(conns[fd]);
  conns[fd] = 0;
}

/* The end of the JSON value that starts at `p`; strings and brackets are followed, nothing is checked. */
static char *skip(char *p, char *end) {
  int depth = 0;
  for (; p < end; p++) {
    if (*p == '"') {
      for (p++; p < end && *p != '"'; p++) if (*p == '\\') p++;
      if (!depth) return p + 1;
    } else if (*p == '{' || *p == '[') depth++;
    else if (*p == '}' || *p == ']') { if (!depth) return p; if (!--depth) return p + 1; }
    else if (!depth && (*p == ',' || *p <= ' ')) return p;
  }
  return end;
}

/* The value of a member of the object at `p`; {0, 0} when it has none. */
static span member(char *p, char *end, const char *name) {
  long n = strlen(name);
  while (p < end && *p != '{') p++;
  p++;
  while (p < end) {
    while (p < end && (*p <= ' ' || *p == ',')) p++;
    if (p >= end || *p != '"') break;
    char *key = p, *after = skip(p, end);
    for (p = after; p < end && (*p <= ' ' || *p == ':');) p++;
    char *value = p;
    p = skip(p, end);
    if (after - key == n + 2 && !memcmp(key + 1, name, n)) return (span){value, p - value};
  }
  return (span){0, 0};
}

static int is(span s, const char *text) { return s.n == (long)strlen(text) + 2 && !memcmp(s.at + 1, text, s.n - 2); }

static void send_message(int fd, int sse, const char *message, int n) {
  char out[4096];
  int k;
  if (sse)
    k = snprintf(out, sizeof out,
                 "HTTP/1.1 200 OK\r\nServer: stub\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
                 "Transfer-Encoding: chunked\r\n\r\n%x\r\nevent: message\ndata: %s\n\n\r\n0\r\n\r\n", n + 23, message);
  else
    k = snprintf(out, sizeof out,
                 "HTTP/1.1 200 OK\r\nServer: stub\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", n,
                 message);
  put(fd, out, k);
}

static void answer(int fd, int sse, char *body, long size) {
  char *end = body + size, result[2048], message[3072];
  span id = member(body, end, "id"), method = member(body, end, "method"), params = member(body, end, "params");
  if (!id.n || id.n > 512) { put(fd, ACCEPTED, strlen(ACCEPTED)); return; }
  span meta = {0, 0}, version = {0, 0};
  if (params.n) {
    meta = member(params.at, params.at + params.n, "_meta");
    version = member(params.at, params.at + params.n, "protocolVersion");
  }
  int modern = meta.n && member(meta.at, meta.at + meta.n, "io.modelcontextprotocol/protocolVersion").n;
  const char *type = modern ? ",\"resultType\":\"complete\"" : "";
  int known = 1;
  if (is(method, "tools/call")) snprintf(result, sizeof result, "{%s%s}", CALL, type);
  else if (is(method, "tools/list"))
    snprintf(result, sizeof result, modern ? "{%s%s,%s}" : "{%s%s}", TOOLS, type, CACHE);
  else if (modern && is(method, "server/discover"))
    snprintf(result, sizeof result,
             "{\"supportedVersions\":[\"2026-07-28\"],%s,\"_meta\":{\"io.modelcontextprotocol/serverInfo\":%s}%s,%s}", ABOUT,
             SERVER, type, CACHE);
  else if (!modern && is(method, "initialize"))
    snprintf(result, sizeof result, "{\"protocolVersion\":%.*s,%s,\"serverInfo\":%s}", version.n && version.n < 40 ? (int)version.n : 12,
             version.n && version.n < 40 ? version.at : "\"2025-11-25\"", ABOUT, SERVER);
  else if (!modern && is(method, "ping")) strcpy(result, "{}");
  else { known = 0; strcpy(result, "{\"code\":-32601,\"message\":\"method not found\"}"); }
  int n = snprintf(message, sizeof message, "{\"jsonrpc\":\"2.0\",\"id\":%.*s,\"%s\":%s}", (int)id.n, id.at,
                   known ? "result" : "error", result);
  send_message(fd, sse, message, n);
}

/* Answer every whole request in the buffer; 0 when the connection cannot go on. */
static int serve(int fd, conn *c) {
  for (;;) {
    char *head_end = memmem(c->data, c->used, "\r\n\r\n", 4);
    if (!head_end) return 1;
    *head_end = 0;
    char *length = strcasestr(c->data, "\r\ncontent-length:");
    long head = head_end - c->data + 4, body = length ? atol(length + 17) : 0;
    int chunked = strcasestr(c->data, "\r\ntransfer-encoding:") != 0;
    *head_end = '\r';
    if (chunked || body < 0 || head + body > MAX_REQUEST) return 0;
    if (c->used < head + body) return 1;
    if (memcmp(c->data, "POST ", 5)) put(fd, NOT_ALLOWED, strlen(NOT_ALLOWED));
    else answer(fd, !memcmp(c->data + 5, "/mcp-sse", 8), c->data + head, body);
    c->used -= head + body;
    memmove(c->data, c->data + head + body, c->used);
  }
}

static void feed(int fd) {
  conn *c = conns[fd];
  for (;;) {
    if (c->used + 1 >= c->size) c->data = realloc(c->data, (c->size *= 2) + 1);
    long room = c->size - c->used;
    ssize_t k = read(fd, c->data + c->used, room);
    if (k < 0 && errno == EAGAIN) return;
    if (k <= 0) { drop(fd); return; }
    c->used += k;
    if (!serve(fd, c) || c->used > MAX_REQUEST) { drop(fd); return; }
    if (k < room) return;
  }
}

static void take(int listener, int ep) {
  int on = 1;
  for (;;) {
    int fd = accept4(listener, 0, 0, SOCK_NONBLOCK);
    if (fd < 0) return;
    if (fd >= MAX_FD) { close(fd); continue; }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    conns[fd] = malloc(sizeof(conn));
    *conns[fd] = (conn){.data = malloc(FIRST_BUFFER + 1), .used = 0, .size = FIRST_BUFFER};
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
  }
}

int main(int argc, char **argv) {
  signal(SIGPIPE, SIG_IGN);
  int on = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(argc > 1 ? atoi(argv[1]) : 0), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof at;
  if (bind(listener, (void *)&at, size) || listen(listener, 4096) || getsockname(listener, (void *)&at, &size)) {
    perror("stub");
    return 1;
  }
  int ep = epoll_create1(0);
  struct epoll_event ev = {.events = EPOLLIN, .data.fd = listener}, events[256];
  epoll_ctl(ep, EPOLL_CTL_ADD, listener, &ev);
  ev.data.fd = 0;
  epoll_ctl(ep, EPOLL_CTL_ADD, 0, &ev);
  printf("listening %d\n", ntohs(at.sin_port));
  fflush(stdout);
  for (;;) {
    int n = epoll_wait(ep, events, 256, -1);
    for (int i = 0; i < n; i++) {
      int fd = events[i].data.fd;
      char waste[64];
      if (fd == listener) take(listener, ep);
      else if (fd == 0) { if (read(0, waste, sizeof waste) <= 0) return 0; }
      else if (conns[fd]) feed(fd);
    }
  }
}
