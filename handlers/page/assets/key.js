// The API key: asked for when the server wants one, and kept as long as this tab.

import { byId } from "./elements.js";

const ITEM = "mlx-serve-key";
let asking = null;
let declined = false;

export function storedKey() {
  return sessionStorage.getItem(ITEM);
}

export function forgetKey() {
  sessionStorage.removeItem(ITEM);
  declined = false;
}

// The key that the user gives, or null. Asked once for all who need one; `refused` was wrong. Whoever has said "not now"
// is asked again only for `wanted`, what he does himself.
export function askForKey(refused, wanted) {
  const other = storedKey();
  if (other !== refused && other !== null) return Promise.resolve(other);
  if (asking) return asking;
  if (declined && !wanted) return Promise.resolve(null);
  const dialog = byId("key-dialog");
  byId("key-problem").textContent = refused === null ? "" : "The server does not know that key.";
  byId("key").value = "";
  asking = new Promise((resolve) => {
    const end = (key) => {
      declined = key === null;
      if (key === null) sessionStorage.removeItem(ITEM);
      else sessionStorage.setItem(ITEM, key);
      asking = null;
      dialog.close();
      resolve(key);
    };
    byId("key-form").onsubmit = (event) => {
      event.preventDefault();
      const key = byId("key").value.trim();
      if (key) end(key);
    };
    byId("key-cancel").onclick = () => end(null);
    dialog.oncancel = (event) => {
      event.preventDefault();
      end(null);
    };
  });
  dialog.showModal();
  byId("key").focus();
  return asking;
}
