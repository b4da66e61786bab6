// Who is there: the processes of the store, and the tenants.

import { element } from "./element.js";
import { table } from "./table.js";
import { clock, long } from "./time.js";
import { plain, whole } from "./words.js";

let drawProcesses;
let drawTenants;

const amounts = ({ rpm, tpm, rpd, tpd }) =>
  [[rpm, "req/min"], [tpm, "tok/min"], [rpd, "req/day"], [tpd, "tok/day"]]
    .filter(([amount]) => amount !== null && amount !== undefined)
    .map(([amount, word]) => `${whole(amount)} ${word}`)
    .join(", ") || "none";

export function ready() {
  drawProcesses = table("process-table", "Processes of this store", [
    ["Process", (process) => [element("strong", {}, process.name), process.is_this ? element("span", { class: "chip" }, "this one") : null]],
    ["Version", (process) => process.version],
    ["Listens at", (process) => process.listen],
    ["Up for", (process) => long(process.uptime_seconds)],
    ["Units held", (process) => (process.units_held === null ? "shares nothing" : `${process.units_held} of ${process.units}`)],
    ["Sharing", (process) => (process.sharing ? plain(process.sharing) : "–")],
    ["Last seen", (process) => clock(process.seen)],
  ]);
  drawTenants = table("tenant-table", "Tenants", [
    ["Tenant", (tenant) => element("strong", {}, tenant.name)],
    ["State", (tenant) => element("span", { class: `state ${tenant.state === "active" ? "ready" : "disabled"}` }, tenant.state)],
    ["From", (tenant) => tenant.from],
    ["Models", (tenant) => tenant.models?.join(", ") || "all"],
    ["Limits", amounts],
    ["Expires", (tenant) => (tenant.expires ? clock(tenant.expires) : "never")],
  ]);
}

export const tellProcesses = (processes) => drawProcesses(processes, (process) => process.id);
export const tellTenants = (tenants) => drawTenants(tenants, (tenant) => `${tenant.from} ${tenant.name}`);
