/** Addresses out of forms. */

import type { FieldFault } from "../http/reply.ts";
import type { Address } from "../services/accounts.ts";
import { COUNTRIES } from "../view/parts.tsx";

export const NO_ADDRESS: Address = { name: "", line1: "", line2: null, city: "", postalCode: "", country: "DE" };

/** How the API names what our form fields hold. */
export const ADDRESS_FIELDS: Record<string, string> = { name: "address_name" };

export function readAddress(form: (name: string) => string): { address: Address; faults: FieldFault[] } {
  const address: Address = {
    name: form("address_name"),
    line1: form("line1"),
    line2: form("line2") || null,
    city: form("city"),
    postalCode: form("postal_code"),
    country: form("country"),
  };
  const faults: FieldFault[] = [];
  const needed: Array<[string, string, string]> = [
    ["address_name", address.name, "Please tell us the name on the door."],
    ["line1", address.line1, "Please tell us the street and number."],
    ["postal_code", address.postalCode, "Please tell us the postcode."],
    ["city", address.city, "Please tell us the town."],
  ];
  for (const [field, value, message] of needed) {
    if (value === "") faults.push({ field, message });
    else if (value.length > (field === "postal_code" ? 32 : 200)) faults.push({ field, message: "This is too long." });
  }
  if (!COUNTRIES.some(([code]) => code === address.country)) {
    faults.push({ field: "country", message: "Please choose a country that we deliver to." });
  }
  return { address, faults };
}
