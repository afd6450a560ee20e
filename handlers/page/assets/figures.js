// Numbers as people read them.

const UNITS = ["B", "KB", "MB", "GB", "TB"];

export function bytes(count) {
  let unit = 0;
  while (count >= 999.5 && unit < UNITS.length - 1) {
    count /= 1000;
    unit += 1;
  }
  return `${count < 9.95 && unit > 1 ? count.toFixed(1) : Math.round(count)} ${UNITS[unit]}`;
}

export function number(count) {
  return Math.round(count).toLocaleString("en");
}

export function rate(perSecond) {
  if (perSecond < 0.05) return "0";
  return perSecond < 9.95 ? perSecond.toFixed(1) : number(perSecond);
}

export function seconds(count) {
  return `${count < 9.95 ? count.toFixed(count < 0.995 ? 2 : 1) : number(count)} s`;
}

export function parameters(count) {
  if (count >= 1e9) return `${(count / 1e9).toFixed(count < 1e10 ? 1 : 0)} B parameters`;
  return count >= 1e6 ? `${Math.round(count / 1e6)} M parameters` : `${number(count)} parameters`;
}

// "12 min", for what lies so many seconds ahead or behind.
export function span(count) {
  count = Math.max(0, count);
  if (count < 90) return `${Math.round(count)} s`;
  if (count < 5400) return `${Math.round(count / 60)} min`;
  return count < 129600 ? `${Math.round(count / 3600)} h` : `${Math.round(count / 86400)} days`;
}

// A Unix time, with its day where that is not today.
export function moment(time, now) {
  const then = new Date(time * 1000);
  const clock = then.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return then.toDateString() === new Date(now * 1000).toDateString() ? clock : `${then.toLocaleDateString()}, ${clock}`;
}

export function counted(count, one, many = `${one}s`) {
  return `${number(count)} ${count === 1 ? one : many}`;
}
