// Terminal agents, run once without a terminal: each calls a tool and prints an answer. Codex (responses), Claude Code
// (messages), Gemini CLI (native).
import assert from "node:assert";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";

const url = process.env.KEYPOOL_URL, token = process.env.TOKEN;
const home = mkdtempSync(tmpdir() + "/keypool-agents-");

function asks(program, more, env) {
  const path = `${process.cwd()}/node_modules/.bin:${process.env.PATH}`;
  const options = { cwd: home, env: { ...process.env, HOME: home, PATH: path, ...env }, input: "", encoding: "utf8", timeout: 120_000 };
  const { stdout, stderr } = spawnSync(program, more, options);
  assert(stdout.includes("simulated answers are plain words"), `${program} ${more}: ${stdout}\n${stderr}`);
}

for (const model of ["gemini-2.5-flash", "gemini-3.8-flash"]) {
  mkdirSync(home + "/.codex", { recursive: true });
  const provider = `[model_providers.keypool]\nname = "keypool"\nbase_url = "${url}/v1"\nenv_key = "TOKEN"\nwire_api = "responses"\n`;
  writeFileSync(home + "/.codex/config.toml", `model = "${model}"\nmodel_provider = "keypool"\n${provider}`);
  asks("codex", ["exec", "--skip-git-repo-check", "exec_command() and exec_command()"], {});
  asks("claude", ["--model", model, "--allowedTools", "Bash", "-p", "Bash() and Bash()"], {
    ANTHROPIC_BASE_URL: url, ANTHROPIC_API_KEY: token, ANTHROPIC_SMALL_FAST_MODEL: model, IS_SANDBOX: "1",
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
  });
  mkdirSync(home + "/.gemini", { recursive: true });
  const settings = { security: { auth: { selectedType: "gemini-api-key" } }, privacy: { usageStatisticsEnabled: false } };
  writeFileSync(home + "/.gemini/settings.json", JSON.stringify(settings));
  asks("gemini", ["-m", model, "--approval-mode", "yolo", "-p", "run_shell_command() and run_shell_command()"], {
    GOOGLE_GEMINI_BASE_URL: url, GEMINI_API_KEY: token, GEMINI_CLI_TRUST_WORKSPACE: "true",
  });
}
rmSync(home, { recursive: true });
