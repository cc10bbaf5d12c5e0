// SPDX-License-Identifier: MIT

// Genuine Go DERP clients and a genuine Go DERP server, for bodkin to talk to.
//
//	goderp exchange http://HOST:PORT/derp          two clients, plain HTTP
//	goderp exchange https://HOST:PORT/derp [PIN]   the same over TLS; PIN: SHA-256 of the certificate
//	goderp exchange -tls12 https://...             TLS 1.2: no fast start, an ordinary upgrade
//	goderp gone URL [PIN]                          PeerGone, as our server must send it
//	goderp mesh URL MESHKEY                        a mesh peer: presence and forwarding
//	goderp flood URL [PIN]                         64 MB one way: rate and loss
//	goderp echo URL [PIN]                          a client that sends every packet back
//	goderp server                                  a server, and an echoing client on it
//
// Each prints one line beginning with "ok" and ends with 0, or says what went wrong.
package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"tailscale.com/derp"
	"tailscale.com/derp/derphttp"
	"tailscale.com/derp/derpserver"
	"tailscale.com/net/netmon"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
)

var tls12 = flag.Bool("tls12", false, "speak TLS 1.2 at most")

const (
	patience = 10 * time.Second
	settle   = 100 * time.Millisecond
)

func quiet(string, ...any) {}

// newClient connects to a server by URL; https servers are checked by pin, or not at all without.
func newClient(private key.NodePrivate, target, pin string) (*derphttp.Client, error) {
	u, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	var c *derphttp.Client
	if u.Scheme == "http" {
		c, err = derphttp.NewClient(private, target, quiet, netmon.NewStatic())
		if err != nil {
			return nil, err
		}
	} else {
		port, _ := strconv.Atoi(u.Port())
		node := &tailcfg.DERPNode{Name: "900a", RegionID: 900, HostName: u.Hostname(), DERPPort: port,
			IPv4: u.Hostname(), IPv6: "none", STUNPort: -1}
		if pin != "" {
			node.CertName = "sha256-raw:" + pin
		} else {
			node.InsecureForTests = true
		}
		region := &tailcfg.DERPRegion{RegionID: 900, RegionCode: "test", Nodes: []*tailcfg.DERPNode{node}}
		c = derphttp.NewRegionClient(private, quiet, netmon.NewStatic(), func() *tailcfg.DERPRegion { return region })
		if *tls12 {
			c.TLSConfig = &tls.Config{MaxVersion: tls.VersionTLS12}
		}
	}
	c.SetCanAckPings(true)
	return c, nil
}

func connect(target, pin string) (*derphttp.Client, key.NodePublic, error) {
	private := key.NewNode()
	c, err := newClient(private, target, pin)
	if err != nil {
		return nil, key.NodePublic{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.Connect(ctx); err != nil {
		return nil, key.NodePublic{}, fmt.Errorf("connect: %w", err)
	}
	// Our server's workers tell each other who is connected; the news must have arrived before the
	// next client's first packet, because nobody repeats it.
	time.Sleep(settle)
	return c, private.Public(), nil
}

// next gives the next message that is of type M, within the patience.
func next[M derp.ReceivedMessage](c *derphttp.Client) (M, error) {
	type result struct {
		message M
		err     error
	}
	done := make(chan result, 1)
	go func() {
		for {
			m, err := c.Recv()
			if err != nil {
				done <- result{err: err}
				return
			}
			if want, ok := m.(M); ok {
				done <- result{message: want}
				return
			}
		}
	}()
	select {
	case r := <-done:
		return r.message, r.err
	case <-time.After(patience):
		var none M
		return none, fmt.Errorf("no %T within %v", none, patience)
	}
}

func expect(c *derphttp.Client, from key.NodePublic, want []byte) error {
	p, err := next[derp.ReceivedPacket](c)
	if err != nil {
		return err
	}
	if p.Source != from || !bytes.Equal(p.Data, want) {
		return fmt.Errorf("packet of %d bytes from %v, want %d from %v", len(p.Data), p.Source, len(want), from)
	}
	return nil
}

func exchange(target, pin string) error {
	started := time.Now()
	a, aKey, err := connect(target, pin)
	if err != nil {
		return err
	}
	defer a.Close()
	took := time.Since(started) - settle
	b, bKey, err := connect(target, pin)
	if err != nil {
		return err
	}
	defer b.Close()
	count := 0
	for _, size := range []int{1, 31, 1200, 1400, 2043, 2048, 4096, 16384, 65535, 65536} {
		data := make([]byte, size)
		rand.Read(data)
		if err := a.Send(bKey, data); err != nil {
			return err
		}
		if err := expect(b, aKey, data); err != nil {
			return fmt.Errorf("%d bytes there: %w", size, err)
		}
		if err := b.Send(aKey, data); err != nil {
			return err
		}
		if err := expect(a, bKey, data); err != nil {
			return fmt.Errorf("%d bytes back: %w", size, err)
		}
		count += 2
	}
	a.NotePreferred(true)
	if err := ping(a); err != nil {
		return err
	}
	how := "plain"
	if state, ok := a.TLSConnectionState(); ok {
		how = tls.VersionName(state.Version)
		for _, cert := range state.PeerCertificates {
			if state.Version >= tls.VersionTLS13 && len(cert.Subject.CommonName) == 71 {
				how += " fast start"
			}
		}
	}
	fmt.Printf("ok %s, connected in %.1f ms, %d packets, ping\n", how, float64(took.Microseconds())/1000, count)
	return nil
}

// ping needs somebody to read the connection meanwhile.
func ping(c *derphttp.Client) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	failed := make(chan error, 1)
	data := [8]byte{1, 2, 3, 4, 5, 6, 7, 8}
	go func() { failed <- c.SendPing(data) }()
	pong, err := next[derp.PongMessage](c)
	if err != nil {
		return err
	}
	if [8]byte(pong) != data {
		return fmt.Errorf("pong %x", pong)
	}
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func gone(target, pin string) error {
	a, aKey, err := connect(target, pin)
	if err != nil {
		return err
	}
	defer a.Close()
	b, bKey, err := connect(target, pin)
	if err != nil {
		return err
	}
	if err := b.Send(aKey, []byte("hello")); err != nil {
		return err
	}
	if err := expect(a, bKey, []byte("hello")); err != nil {
		return err
	}
	b.Close()
	m, err := next[derp.PeerGoneMessage](a)
	if err != nil {
		return err
	}
	if m.Peer != bKey || m.Reason != derp.PeerGoneReasonDisconnected {
		return fmt.Errorf("PeerGone %v, reason %d", m.Peer, m.Reason)
	}
	nobody := key.NewNode().Public()
	if err := a.Send(nobody, []byte("TS💬 looks like disco")); err != nil {
		return err
	}
	m, err = next[derp.PeerGoneMessage](a)
	if err != nil {
		return err
	}
	if m.Peer != nobody || m.Reason != derp.PeerGoneReasonNotHere {
		return fmt.Errorf("PeerGone %v, reason %d", m.Peer, m.Reason)
	}
	fmt.Println("ok disconnected, not here")
	return nil
}

func mesh(target, meshKey string) error {
	a, aKey, err := connect(target, "")
	if err != nil {
		return err
	}
	defer a.Close()
	private := key.NewNode()
	m, err := newClient(private, target, "")
	if err != nil {
		return err
	}
	defer m.Close()
	k, err := key.ParseDERPMesh(meshKey)
	if err != nil {
		return err
	}
	m.MeshKey = k
	m.WatchConnectionChanges = true
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := m.Connect(ctx); err != nil {
		return err
	}
	for {
		p, err := next[derp.PeerPresentMessage](m)
		if err != nil {
			return err
		}
		if p.Key == aKey {
			if !p.IPPort.Addr().IsLoopback() || p.Flags&derp.PeerPresentIsRegular == 0 {
				return fmt.Errorf("present %v flags %v", p.IPPort, p.Flags)
			}
			break
		}
	}
	elsewhere := key.NewNode().Public()
	if err := m.ForwardPacket(elsewhere, aKey, []byte("forwarded")); err != nil {
		return err
	}
	if err := expect(a, elsewhere, []byte("forwarded")); err != nil {
		return err
	}
	a.Close()
	g, err := next[derp.PeerGoneMessage](m)
	if err != nil {
		return err
	}
	if g.Peer != aKey {
		return fmt.Errorf("gone %v", g.Peer)
	}
	fmt.Println("ok watch, present, forward, gone")
	return nil
}

func flood(target, pin string) error {
	const size, total = 1400, 64 << 20
	a, _, err := connect(target, pin)
	if err != nil {
		return err
	}
	defer a.Close()
	b, bKey, err := connect(target, pin)
	if err != nil {
		return err
	}
	defer b.Close()
	count := total / size
	arrived := make(chan struct{}, 1<<16)
	go func() {
		for {
			m, err := b.Recv()
			if err != nil {
				return
			}
			if _, ok := m.(derp.ReceivedPacket); ok {
				arrived <- struct{}{}
			}
		}
	}()
	started := time.Now()
	sent := make(chan error, 1)
	go func() {
		data := make([]byte, size)
		for i := range count {
			binary.BigEndian.PutUint32(data, uint32(i))
			if err := a.Send(bKey, data); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	n, last := 0, started
	for n < count {
		select {
		case <-arrived:
			n++
			last = time.Now()
			continue
		case err := <-sent:
			if err != nil {
				return err
			}
			continue
		case <-time.After(3 * time.Second): // a paused sender is silent for two seconds at most
		}
		break
	}
	seconds := last.Sub(started).Seconds()
	fmt.Printf("ok %.0f Mbit/s, %.2f %% lost\n", float64(n*size*8)/seconds/1e6, 100-float64(n*100)/float64(count))
	return nil
}

func echo(target, pin string) error {
	c, self, err := connect(target, pin)
	if err != nil {
		return err
	}
	fmt.Printf("echo %s\n", self.UntypedHexString())
	for {
		m, err := c.Recv()
		if err != nil {
			return err
		}
		if p, ok := m.(derp.ReceivedPacket); ok {
			if err := c.Send(p.Source, bytes.Clone(p.Data)); err != nil {
				return err
			}
		}
	}
}

func selfSigned() (tls.Certificate, []byte, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	pin := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}, pin[:], nil
}

// server prints "plain PORT", "tls PORT PIN", "server KEY" and what echo prints, and stays.
func server() error {
	s := derpserver.New(key.NewNode(), quiet)
	mux := http.NewServeMux()
	mux.Handle("/derp", derpserver.Handler(s))
	mux.HandleFunc("/derp/probe", derpserver.ProbeHandler)
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	certificate, pin, err := selfSigned()
	if err != nil {
		return err
	}
	config := &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		c := certificate
		return &c, nil
	}}
	s.ModifyTLSConfigToAddMetaCert(config)
	secure, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		return err
	}
	go http.Serve(plain, mux)
	go http.Serve(secure, mux)
	port := plain.Addr().(*net.TCPAddr).Port
	fmt.Printf("plain %d\n", port)
	fmt.Printf("tls %d %s\n", secure.Addr().(*net.TCPAddr).Port, base64.RawURLEncoding.EncodeToString(pin))
	fmt.Printf("server %s\n", s.PublicKey().UntypedHexString())
	return echo(fmt.Sprintf("http://127.0.0.1:%d/derp", port), "")
}

func main() {
	flag.Parse()
	var err error
	switch flag.Arg(0) {
	case "exchange":
		err = exchange(flag.Arg(1), flag.Arg(2))
	case "gone":
		err = gone(flag.Arg(1), flag.Arg(2))
	case "mesh":
		err = mesh(flag.Arg(1), flag.Arg(2))
	case "flood":
		err = flood(flag.Arg(1), flag.Arg(2))
	case "echo":
		err = echo(flag.Arg(1), flag.Arg(2))
	case "server":
		err = server()
	default:
		err = errors.New("usage: goderp [-tls12] exchange|gone|mesh|flood|echo|server [URL [PIN]]")
	}
	if err != nil {
		fmt.Println("FAILED", err)
		os.Exit(1)
	}
}
