// Sockets that are opened again when they end, and the truth about them: a page is live only while
// every socket is open and the server has lately said that it hears of changes itself.

import { check, hear, session } from "./session.js";
import { state } from "./state.js";

const PING_EVERY = 4_000; // ms
const PROOF_LASTS = 10_000; // ms without a sign of life, after which nothing is promised
const DELAYS = [500, 1_000, 2_000, 4_000, 5_000]; // ms between attempts

// { name: "connecting" | "live" | "reconnecting" | "stale", since, retryAt, why }
export const link = state({ name: "connecting" });

// How far the server's clock is ahead of this one's, in ms.
export let clockAhead = 0;

const followers = new Set();
let attempts = 0;
let retryAt = null;
let timer = null;
let reviving = false;
let proof = null; // When the server last said that all is well.
let trouble = null;
let pinged = 0;
let unanswered = null; // When the first ping was sent that has no answer yet.

// Follows `path()` until what is returned is told to `stop`. `receive` gets every message, `opened` is
// called each time that the socket is open. The follower that `proves` is asked for signs of life;
// one that does not `push` is live without having said anything. `send` says whether it could.
export function follow(path, receive, { proves = false, pushes = true, opened = () => {} } = {}) {
  const follower = { path, receive, proves, pushes, opened, socket: null, live: false };
  followers.add(follower);
  if (retryAt === null) open(follower);
  judge();
  return {
    stop() {
      followers.delete(follower);
      follower.socket?.close();
      judge();
    },
    send(message) {
      if (follower.socket?.readyState !== WebSocket.OPEN) return false;
      follower.socket.send(JSON.stringify(message));
      return true;
    },
  };
}

export function retryNow() {
  clearTimeout(timer);
  revive();
}

function open(follower) {
  const socket = new WebSocket(new URL(follower.path(), location.href.replace(/^http/, "ws")));
  follower.socket = socket;
  follower.live = false;
  socket.onopen = () => {
    if (!follower.pushes) alive(follower);
    follower.opened();
  };
  socket.onmessage = ({ data }) => {
    if (!followers.has(follower) || follower.socket !== socket) return;
    const message = JSON.parse(data);
    if (follower.proves && "live" in message) {
      prove(message);
    } else {
      if (follower.proves && !follower.live) ping(follower);
      follower.receive(message);
    }
    alive(follower);
  };
  socket.onclose = () => {
    if (follower.socket !== socket) return;
    follower.socket = null;
    follower.live = false;
    if (follower.proves) unanswered = null;
    if (followers.has(follower)) later();
    judge();
  };
}

function alive(follower) {
  follower.live = true;
  if ([...followers].every(({ live }) => live)) attempts = 0;
  judge();
}

// The server's answer to a ping.
function prove({ live, trouble: reason, now, role }) {
  hear(role);
  unanswered = null;
  // Strangers are not told the reason.
  trouble = live ? null : reason ?? "The server receives no notifications from the database.";
  if (live) proof = Date.now();
  clockAhead = now - (Date.now() + pinged) / 2;
}

function ping(follower) {
  pinged = Date.now();
  unanswered ??= pinged;
  follower.socket.send('{"action":"ping"}');
}

function later() {
  if (retryAt !== null || reviving) return;
  const delay = DELAYS[Math.min(attempts, DELAYS.length - 1)] * (0.75 + Math.random() / 2);
  attempts += 1;
  retryAt = Date.now() + delay;
  timer = setTimeout(revive, delay);
}

// Sockets do not say why they are refused, so it is asked first whether one is still signed in.
async function revive() {
  if (reviving) return;
  reviving = true;
  retryAt = null;
  judge();
  const answered = await check();
  reviving = false;
  if (!session.get()) return judge();
  if (answered) {
    for (const follower of followers) if (!follower.socket) open(follower);
  } else {
    later();
  }
  judge();
}

function judge() {
  const now = Date.now();
  const silent = [...followers].some(({ live }) => !live);
  let next;
  if (!followers.size) next = { name: "connecting" };
  else if (silent && proof === null && attempts === 0) next = { name: "connecting" };
  else if (silent) next = { name: "reconnecting", since: proof, retryAt };
  else if (trouble) next = { name: "stale", since: proof, why: trouble };
  else if (proof === null) next = { name: "connecting" };
  else if (now - proof > PROOF_LASTS) next = { name: "stale", since: proof, why: "No contact with the server." };
  else next = { name: "live" };
  const was = link.get();
  if (["name", "since", "retryAt", "why"].some((key) => was[key] !== next[key])) link.set(next);
}

// A socket may be open and dead: after a laptop's sleep, or when a cable was pulled.
function beat() {
  for (const follower of followers) {
    if (!follower.proves || follower.socket?.readyState !== WebSocket.OPEN) continue;
    const now = Date.now();
    if (unanswered !== null && now - unanswered > PROOF_LASTS) drop();
    else if (follower.live && now - pinged >= PING_EVERY) ping(follower);
  }
  judge();
}

// Gives every socket up: a close would wait for the dead.
function drop() {
  unanswered = null;
  for (const follower of followers) {
    const { socket } = follower;
    follower.socket = null;
    follower.live = false;
    socket?.close();
  }
  later();
}

setInterval(beat, 1_000);
addEventListener("online", () => retryAt !== null && retryNow());
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  if (retryAt !== null) retryNow();
  beat();
});
session.watch((who) => {
  if (who) return;
  // Nobody is signed in, so nothing is shown and nothing is promised.
  clearTimeout(timer);
  retryAt = null;
  attempts = 0;
  proof = trouble = null;
  judge();
});
