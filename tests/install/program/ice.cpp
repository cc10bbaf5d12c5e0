/* SPDX-License-Identifier: MIT
 * The ICE agent from C++17: two of them, owned by smart pointers, and the network between them a
 * queue. Says "hello from C++" when that came through. */
#include <bodkin/ice.h>
#include <bodkin/ice_io.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace {

struct Free {
    void operator()(bk_ice *ice) const {
        bk_ice_free(ice);
    }
};
using Agent = std::unique_ptr<bk_ice, Free>;

struct Packet {
    struct bk_addr from, to; /* `struct`: there is a function of that name, as with stat() */
    std::vector<unsigned char> bytes;
};

void *get(void *, size_t size) {
    return std::calloc(1, size);
}

void put(void *, void *memory) {
    std::free(memory);
}

void random_bytes(void *ctx, void *out, size_t len) {
    auto &engine = *static_cast<std::mt19937 *>(ctx); /* a test's: programs want a secure one */
    auto *bytes = static_cast<unsigned char *>(out);
    for (size_t i = 0; i < len; i++)
        bytes[i] = static_cast<unsigned char>(engine());
}

void must(bk_err err, const char *what) {
    if (err == BK_OK)
        return;
    std::printf("%s: %s\n", what, bk_err_text(err));
    std::exit(1);
}

class Peer {
  public:
    Peer(bk_ice_role role, const char *address, const bk_rng *rng) {
        const bk_alloc alloc = {get, put, nullptr};
        bk_ice_config config = bk_ice_config_default;
        config.role = role;
        config.rng = rng;
        bk_ice *made = nullptr;
        must(bk_ice_new(&config, &alloc, &made), "new");
        ice_.reset(made);
        bk_ice_base base{};
        base.size = sizeof base;
        must(bk_addr_parse(address, &base.addr), "address");
        must(bk_ice_add_base(ice_.get(), &base, now_), "base");
        bk_ice_gather(ice_.get(), now_);
    }

    std::string describe() const {
        std::vector<char> text(4096);
        size_t len = 0;
        must(bk_ice_describe(ice_.get(), text.data(), text.size(), &len), "describe");
        return std::string(text.data(), len);
    }

    void hear(const std::string &text) {
        must(bk_ice_set_remote(ice_.get(), text.data(), text.size(), now_), "remote");
    }

    void send(const char *text, std::deque<Packet> &network) {
        bk_datagram out{};
        must(bk_ice_send(ice_.get(), 0, 1, text, std::strlen(text), &out), "send");
        post(out, network);
    }

    void take(const Packet &p) {
        bk_datagram in{};
        in.local = p.to;
        in.remote = p.from;
        in.data = p.bytes.data();
        in.len = p.bytes.size();
        bk_ice_data data{};
        if (bk_ice_recv(ice_.get(), &in, now_, &data) == BK_OK && data.data != nullptr)
            heard.assign(reinterpret_cast<const char *>(data.data), data.len);
    }

    void turn(bk_time now, std::deque<Packet> &network) {
        bk_datagram out{};
        bk_ice_event event{};
        now_ = now;
        bk_ice_advance(ice_.get(), now);
        while (bk_ice_next_datagram(ice_.get(), &out))
            post(out, network);
        while (bk_ice_next_event(ice_.get(), &event))
            connected = connected || event.kind == BK_ICE_ON_CONNECTED;
    }

    bool connected = false;
    std::string heard;

  private:
    static void post(const bk_datagram &d, std::deque<Packet> &network) {
        const auto *bytes = static_cast<const unsigned char *>(d.data);
        network.push_back({d.local, d.remote, {bytes, bytes + d.len}});
    }

    Agent ice_;
    bk_time now_{0};
};

} // namespace

int main() {
    std::mt19937 engine(7);
    const bk_rng rng = {random_bytes, &engine};
    Peer a(BK_ICE_CONTROLLING, "192.0.2.1:5000", &rng);
    Peer b(BK_ICE_CONTROLLED, "192.0.2.2:6000", &rng);
    std::deque<Packet> network;
    a.hear(b.describe());
    b.hear(a.describe());
    for (int ms = 1; ms < 2000 && b.heard.empty(); ms++) {
        const bk_time now = {ms * 1000};
        a.turn(now, network);
        b.turn(now, network);
        if (a.connected && b.connected)
            a.send("hello from C++", network);
        for (; !network.empty(); network.pop_front())
            (network.front().to.port == 5000 ? a : b).take(network.front());
    }
    std::printf("%s\n", b.heard.c_str());
    return b.heard.empty() ? 1 : 0;
}
