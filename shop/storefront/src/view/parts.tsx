/** Pieces that several pages share. */

import type { Child, FC, PropsWithChildren } from "hono/jsx";
import type { FieldFault } from "../http/reply.ts";
import type { Address } from "../services/accounts.ts";
import type { Category, Product } from "../services/catalog.ts";
import { price } from "./format.ts";
import { CheckIcon, InfoIcon, WarnIcon } from "./icons.tsx";

export type Tone = "info" | "good" | "warn" | "bad";

/** A message in the page. Bad news is announced by screen readers at once. */
export const Notice: FC<PropsWithChildren<{ tone: Tone; title: string }>> = ({ tone, title, children }) => (
  <div class={`notice notice-${tone}`} role={tone === "bad" ? "alert" : "status"}>
    {tone === "good" ? <CheckIcon /> : tone === "info" ? <InfoIcon /> : <WarnIcon />}
    <div>
      <p class="notice-title">{title}</p>
      {children === undefined ? null : <div class="notice-text">{children}</div>}
    </div>
  </div>
);

export const ProductCard: FC<{ product: Product; categories: Category[]; eager?: boolean; level?: 2 | 3 }> = (props) => {
  const { product, categories } = props;
  const Heading = props.level === 2 ? "h2" : "h3";
  return (
    <article class="card">
      <img src={product.image} alt="" width={480} height={480} loading={props.eager ? "eager" : "lazy"} />
      <div class="card-text">
        <p class="card-kind">{categoryName(product.category, categories)}</p>
        <Heading class="card-name"><a href={`/products/${encodeURIComponent(product.slug)}`}>{product.name}</a></Heading>
        <p class="price">{price(product.price)}</p>
      </div>
    </article>
  );
};

export function categoryName(slug: string, categories: Category[]): string {
  return categories.find((category) => category.slug === slug)?.name ?? slug;
}

interface FieldProps {
  name: string;
  label: string;
  value?: string;
  type?: string;
  hint?: string;
  autocomplete?: string;
  optional?: boolean;
  faults?: FieldFault[];
  /** Any other attribute of the input. */
  rest?: Record<string, string | number | boolean>;
}

/** A labelled input; what is wrong with it is said beside it and tied to it. */
export const Field: FC<FieldProps> = (p) => {
  const fault = p.faults?.find((entry) => entry.field === p.name);
  const described = [p.hint === undefined ? "" : `${p.name}-hint`, fault === undefined ? "" : `${p.name}-fault`].join(" ").trim();
  return (
    <div class={fault === undefined ? "field" : "field field-bad"}>
      <label for={p.name}>{p.label}{p.optional ? <span class="optional"> (optional)</span> : null}</label>
      <input id={p.name} name={p.name} type={p.type ?? "text"} value={p.value ?? ""} required={!p.optional}
        autocomplete={p.autocomplete} aria-describedby={described === "" ? undefined : described}
        aria-invalid={fault === undefined ? undefined : "true"} {...p.rest} />
      {p.hint === undefined ? null : <p class="hint" id={`${p.name}-hint`}>{p.hint}</p>}
      {fault === undefined ? null : <p class="fault" id={`${p.name}-fault`}>{fault.message}</p>}
    </div>
  );
};

/** Countries that the shop delivers to. */
export const COUNTRIES: ReadonlyArray<readonly [string, string]> = [
  ["AT", "Austria"], ["BE", "Belgium"], ["CH", "Switzerland"], ["CZ", "Czechia"], ["DE", "Germany"], ["DK", "Denmark"],
  ["ES", "Spain"], ["FI", "Finland"], ["FR", "France"], ["GB", "United Kingdom"], ["IE", "Ireland"], ["IT", "Italy"],
  ["LU", "Luxembourg"], ["NL", "Netherlands"], ["NO", "Norway"], ["PL", "Poland"], ["PT", "Portugal"], ["SE", "Sweden"],
];

export const AddressFields: FC<{ address: Address; faults: FieldFault[] }> = ({ address, faults }) => (
  <div class="fields">
    <Field name="address_name" label="Full name" value={address.name} autocomplete="name" faults={faults} rest={{ maxlength: 200 }} />
    <Field name="line1" label="Street and number" value={address.line1} autocomplete="address-line1" faults={faults} rest={{ maxlength: 200 }} />
    <Field name="line2" label="Flat, floor, company" value={address.line2 ?? ""} autocomplete="address-line2" optional faults={faults} rest={{ maxlength: 200 }} />
    <div class="fields-row">
      <Field name="postal_code" label="Postcode" value={address.postalCode} autocomplete="postal-code" faults={faults} rest={{ maxlength: 32 }} />
      <Field name="city" label="Town or city" value={address.city} autocomplete="address-level2" faults={faults} rest={{ maxlength: 200 }} />
    </div>
    <div class="field">
      <label for="country">Country</label>
      <select id="country" name="country" autocomplete="country" required>
        {COUNTRIES.map(([code, name]) => <option value={code} selected={code === address.country}>{name}</option>)}
      </select>
    </div>
  </div>
);

/** A form of one button that changes something. */
export const Act: FC<{ action: string; label: Child; style?: string; hidden?: Record<string, string>; name?: string }> = (p) => (
  <form action={p.action} method="post" class="act">
    {Object.entries(p.hidden ?? {}).map(([name, value]) => <input type="hidden" name={name} value={value} />)}
    <button type="submit" class={p.style ?? "button button-quiet"} aria-label={p.name}>{p.label}</button>
  </form>
);
