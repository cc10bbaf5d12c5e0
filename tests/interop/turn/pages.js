// SPDX-License-Identifier: MIT
// Two pages of a headless Chromium pass a data channel through a TURN server, with
// iceTransportPolicy "relay": node pages.js TURN-URI USER PASSWORD. Ends with 0 when each page got what
// the other sent; the last line says over which candidates.
'use strict';
const {chromium} = require('playwright-core');
const fs = require('fs');
const os = require('os');
const path = require('path');

const [uri, username, credential] = process.argv.slice(2);

function prepare(server) {
  window.pc = new RTCPeerConnection({iceServers: [server], iceTransportPolicy: 'relay'});
  window.got = [];
  window.candidates = [];
  window.open = false;
  window.pc.onicecandidate = e => e.candidate && window.candidates.push(e.candidate.toJSON());
  window.take = channel => {
    window.channel = channel;
    channel.onopen = () => { window.open = true; };
    channel.onmessage = e => window.got.push(e.data);
  };
  window.pc.ondatachannel = e => { window.take(e.channel); window.open = true; };
}

const gathered = page => page.waitForFunction(
    () => window.pc.iceGatheringState === 'complete', null, {timeout: 20000});

async function selected(page) {
  return page.evaluate(async () => {
    const stats = new Map();
    (await window.pc.getStats()).forEach(s => stats.set(s.id, s));
    for (const s of stats.values()) {
      if (s.type !== 'candidate-pair' || !s.nominated)
        continue;
      const l = stats.get(s.localCandidateId), r = stats.get(s.remoteCandidateId);
      return l.candidateType + '-' + r.candidateType + ' by ' + (l.relayProtocol || l.protocol);
    }
    return 'no pair';
  });
}

async function main() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'bodkin-chromium-'));
  const context = await chromium.launchPersistentContext(folder, {
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
    headless: true,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
  try {
    const [a, b] = [await context.newPage(), await context.newPage()];
    for (const page of [a, b])
      await page.evaluate(prepare, {urls: uri, username, credential});
    await a.evaluate(async () => {
      window.take(window.pc.createDataChannel('x'));
      await window.pc.setLocalDescription(await window.pc.createOffer());
    });
    await gathered(a);
    const offer = await a.evaluate(() => window.pc.localDescription.toJSON());
    await b.evaluate(async o => {
      await window.pc.setRemoteDescription(o);
      await window.pc.setLocalDescription(await window.pc.createAnswer());
    }, offer);
    await gathered(b);
    const answer = await b.evaluate(() => window.pc.localDescription.toJSON());
    const n = await a.evaluate(() => window.candidates.length);
    if (n === 0)
      throw new Error('the browser got no relay candidate');
    await a.evaluate(o => window.pc.setRemoteDescription(o), answer);
    for (const page of [a, b])
      await page.waitForFunction(() => window.open, null, {timeout: 20000});
    for (const page of [a, b])
      await page.evaluate(() => { for (let i = 0; i < 100; i++) window.channel.send('message ' + i); });
    for (const page of [a, b])
      await page.waitForFunction(() => window.got.length === 100, null, {timeout: 20000});
    console.log('data channel both ways, ' + await selected(a));
  } finally {
    await context.close().catch(() => {});
    fs.rmSync(folder, {recursive: true, force: true});
  }
}

main().then(() => process.exit(0), e => {
  console.log(String(e.message).split('\n')[0]);
  process.exit(1);
});
