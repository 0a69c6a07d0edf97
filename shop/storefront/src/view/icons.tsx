/** Small drawings in the text's colour; decoration, so hidden from screen readers. */

import type { FC, PropsWithChildren } from "hono/jsx";

const Icon: FC<PropsWithChildren<{ size?: number }>> = ({ size = 22, children }) => (
  <svg class="icon" width={size} height={size} viewBox="0 0 24 24" fill="none" stroke="currentColor"
    stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" focusable="false">
    {children}
  </svg>
);

export const SearchIcon: FC = () => <Icon size={20}><circle cx="11" cy="11" r="6.5" /><path d="m16 16 4.5 4.5" /></Icon>;
export const BagIcon: FC = () => <Icon><path d="M5 8h14l-1 12.5H6z" /><path d="M8.5 10.500V7a3.500 3.500 0 0 1 7 0v3.500" /></Icon>;
export const UserIcon: FC = () => <Icon><circle cx="12" cy="8" r="3.700" /><path d="M4.500 20.500c.8-4.200 3.700-6 7.500-6s6.700 1.800 7.500 6" /></Icon>;
export const CheckIcon: FC = () => <Icon><path d="m5 12.500 4.500 4.500L19 7.500" /></Icon>;
export const InfoIcon: FC = () => <Icon><circle cx="12" cy="12" r="8.500" /><path d="M12 11v5M12 7.800v.1" /></Icon>;
export const WarnIcon: FC = () => <Icon><path d="M12 4 2.800 19.500h18.400zM12 10.500v4M12 17v.1" /></Icon>;
export const TruckIcon: FC = () => <Icon><path d="M3 6.500h11v10H3zM14 10h4l3 3.200v3.300h-7z" /><circle cx="7.500" cy="17.500" r="1.800" /><circle cx="17" cy="17.500" r="1.800" /></Icon>;
export const LeafIcon: FC = () => <Icon><path d="M5 19c0-9 5-14 15-14 0 10-5 14-11 14-2 0-3.500-1-4-2M5 20.500c2-5 5-8 9-10" /></Icon>;
export const ReturnIcon: FC = () => <Icon><path d="M8 5 4 9l4 4M4.500 9H15a5 5 0 0 1 0 10H8" /></Icon>;

/** Two hills on the water: a holm is a small island. */
export const Logo: FC = () => (
  <svg class="logo" width="30" height="30" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
    <circle cx="21.500" cy="9.500" r="4" class="logo-sun" />
    <path d="M3 21c4-9 7-10.500 10.500-5.500C16 12 20 12.500 29 21z" class="logo-land" />
    <path d="M3 24.500h26M8 28h16" class="logo-sea" />
  </svg>
);
