// The programs that may ask.

import { ask, send } from "./agent.js";
import { element, find, moment, revocable, write } from "./dom.js";

export const programs = {
  async show() {
    const dialog = find("programs");
    write(find("programs-error"), "");
    if (!dialog.open) dialog.showModal();
    try {
      await this.load();
    } catch (problem) {
      write(find("programs-error"), problem.message);
    }
  },

  async load() {
    const { clients } = await ask("GET", "/v1/clients");
    find("programs-none").hidden = clients.length > 0;
    find("programs-list").replaceChildren(...clients.map((client) => {
      const ends = !client.expires_at ? "Ends with its program."
        : new Date(client.expires_at) < new Date() ? "Has ended." : `Ends ${moment(client.expires_at)}.`;
      const lost = client.narrowed ? " Tweaks and uploads need the scope tweak: if it uses them, add it again with that." : "";
      return revocable(client.name, [`may ${client.may}: ${client.profiles.join(", ")}. ${ends}${lost}`], find("programs-error"), async () => {
        await send("DELETE", `/v1/clients/${encodeURIComponent(client.name)}`);
        await this.load();
      }, find("programs").querySelector("[type=submit]"));
    }));
    if (clients.some((client) => client.narrowed)) await send("PATCH", "/v1/clients", { seen: true });
  },
};
