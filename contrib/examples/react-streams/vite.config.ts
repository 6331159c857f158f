import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

export default defineConfig({
  plugins: [react()],
  // the SDK is linked from its folder, where it has tools of its own: use what this page has installed
  resolve: { dedupe: ["@stellar/stellar-sdk"] },
  // the origin that a service lets read it where it is told nothing else
  server: { host: "localhost", port: 5173, strictPort: true },
  preview: { host: "localhost", port: 5173, strictPort: true },
  // the demo wallet brings a whole Stellar SDK, which only loads where somebody asks for that wallet
  build: { chunkSizeWarningLimit: 2_000 },
});
