// SPDX-License-Identifier: MIT
// A browser's RTCPeerConnection behind the line protocol of README.md: headless Chromium, driven by
// playwright-core (NODE_PATH says where that is). ICE gets to "connected" without DTLS, so the
// descriptions around the other side's ICE lines carry a fingerprint of zeros. Data: the browser
// sends DTLS ClientHellos, which the other side sees; of what it receives it tells the bytes:
// "data N bytes".
//
//     node peer_chromium.js [--mdns]
'use strict';
const {chromium} = require('playwright-core');
const fs = require('fs');
const os = require('os');
const path = require('path');
const readline = require('readline');

const start = process.hrtime.bigint();
const say = (...words) => fs.writeSync(1,
    `${(process.hrtime.bigint() - start) / 1000n} ${words.join(' ')}\n`);

// ---- in the page ---------------------------------------------------------------------------
function inPage() {
  const peer = {role: 'controlling', servers: [], policy: 'all', heard: false};
  const sdp = (type, ufrag, pwd) => [
    'v=0', 'o=- 1 ' + Date.now() + ' IN IP4 0.0.0.0', 's=-', 't=0 0', 'a=group:BUNDLE 0',
    'm=application 9 UDP/DTLS/SCTP webrtc-datachannel', 'c=IN IP4 0.0.0.0', 'a=mid:0',
    'a=ice-ufrag:' + ufrag, 'a=ice-pwd:' + pwd, 'a=ice-options:trickle',
    'a=fingerprint:sha-256 ' + Array(32).fill('00').join(':'),
    'a=setup:' + (type === 'offer' ? 'actpass' : 'passive'), 'a=sctp-port:5000',
    'a=max-message-size:262144', ''].join('\r\n');
  const field = (text, name) => (text.match(new RegExp('a=' + name + ':(\\S+)')) || [])[1];
  const tellCredentials = () => {
    const text = peer.pc.localDescription.sdp;
    peer.ufrag = field(text, 'ice-ufrag');
    say('credentials', peer.ufrag, field(text, 'ice-pwd'));
  };
  // libwebrtc tells generations apart by this extension alone, whatever usernameFragment says.
  const withUfrag = line => / ufrag /.test(line) ? line : line + ' ufrag ' + peer.remoteUfrag;
  const end = c => [c.type, c.protocol, c.address, c.port].join('/');

  async function offer() {
    await peer.pc.setLocalDescription(await peer.pc.createOffer());
    tellCredentials();
  }
  async function look() { // at what has no event, or an unreliable one after a restart
    const transport = peer.pc.sctp && peer.pc.sctp.transport.iceTransport;
    const pair = transport && transport.getSelectedCandidatePair();
    if (pair && pair.local && pair.remote) {
      const text = end(pair.local) + ' ' + end(pair.remote);
      const present = pair.local.usernameFragment;
      const up = ['connected', 'completed'].includes(peer.pc.iceConnectionState);
      if (up && peer.connectedAs !== peer.ufrag && (!present || present === peer.ufrag)) {
        peer.connectedAs = peer.ufrag;
        say('connected');
        peer.pair = '';
      }
      if (text !== peer.pair && up)
        say('selected', peer.pair = text);
    }
    let bytes = 0;
    (await peer.pc.getStats()).forEach(s => {
      if (s.type === 'candidate-pair')
        bytes += s.bytesReceived || 0;
    });
    if (bytes > (peer.bytes || 0))
      say('data', bytes - (peer.bytes || 0), 'bytes');
    peer.bytes = Math.max(bytes, peer.bytes || 0);
  }

  const words = {
    role: args => { peer.role = args; },
    policy: args => { peer.policy = args; },
    server: args => {
      const [urls, username, credential] = args.split(' ');
      peer.servers.push({urls, username, credential});
    },
    gather: async () => {
      say('state', 'creating');
      const pc = peer.pc = new RTCPeerConnection(
          {iceServers: peer.servers, iceTransportPolicy: peer.policy});
      pc.onicecandidate = e => {
        if (e.candidate && e.candidate.candidate)
          say('candidate', e.candidate.candidate);
        else if (!e.candidate)
          say('gathered');
      };
      pc.oniceconnectionstatechange = () => {
        say('state', pc.iceConnectionState);
        if (pc.iceConnectionState === 'failed')
          say('failed', 'the browser says so');
        look();
      };
      setInterval(look, 100);
      if (peer.role === 'controlling') {
        pc.createDataChannel('x');
        await offer();
      }
    },
    'remote-credentials': async args => {
      const [ufrag, pwd] = args.split(' ');
      peer.remoteUfrag = ufrag;
      if (peer.pc.signalingState === 'have-local-offer') {
        await peer.pc.setRemoteDescription({type: 'answer', sdp: sdp('answer', ufrag, pwd)});
        return;
      }
      await peer.pc.setRemoteDescription({type: 'offer', sdp: sdp('offer', ufrag, pwd)});
      await peer.pc.setLocalDescription(await peer.pc.createAnswer());
      tellCredentials();
    },
    'remote-candidate': args => peer.pc.addIceCandidate(
        {candidate: withUfrag(args.replace(/^a=/, '')), sdpMid: '0', usernameFragment: peer.remoteUfrag}),
    'end-of-candidates': () => peer.pc.addIceCandidate(
        {candidate: '', sdpMid: '0', usernameFragment: peer.remoteUfrag}),
    restart: async () => {
      peer.pc.restartIce();
      await offer();
    },
    send: () => say('error', 'a browser sends data under DTLS only'),
  };
  // One line after the other, as they came.
  let chain = Promise.resolve();
  window.obey = line => {
    const at = line.indexOf(' ');
    const word = at < 0 ? line : line.slice(0, at);
    chain = chain.then(() => words[word] ? words[word](at < 0 ? '' : line.slice(at + 1))
        : say('error', 'no such word:', word)).catch(e => say('error', word, e.message));
  };
}

// ---- around it -----------------------------------------------------------------------------
async function main() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'bodkin-chromium-'));
  const features = process.argv.includes('--mdns') ? [] :
      ['--disable-features=WebRtcHideLocalIpsWithMdns'];
  const context = await chromium.launchPersistentContext(folder, {
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
    headless: true,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--disable-sync', ...features],
  });
  const page = context.pages()[0] || await context.newPage();
  await page.exposeFunction('say', say);
  await page.evaluate(`(${inPage})()`);
  let over = false;
  const quit = async () => {
    if (over)
      return;
    over = true;
    await context.close().catch(() => {});
    fs.rmSync(folder, {recursive: true, force: true});
    process.exit(0);
  };
  const lines = readline.createInterface({input: process.stdin});
  lines.on('line', line => line === 'quit' ? quit()
      : page.evaluate(l => window.obey(l), line).catch(e => say('error', e.message)));
  lines.on('close', quit);
  say('ready');
}

main().catch(e => {
  say('failed', String(e.message).split('\n')[0]);
  process.exit(1);
});
