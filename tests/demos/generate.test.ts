import { parse } from "csv-parse/sync";
import crypto from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { generateDemoData, MENTIONED } from "../../demos/generate.ts";

const directory = fs.mkdtempSync(path.join(os.tmpdir(), "generate-"));
afterAll(() => fs.rmSync(directory, { recursive: true }));

describe("generateDemoData", () => {
  const { files } = generateDemoData(directory);
  const rows = files.flatMap((file) => parse(fs.readFileSync(file.path)) as string[][]);

  it("writes the promised number of well-formed rows", () => {
    for (const file of files) {
      const content = fs.readFileSync(file.path, "utf8");
      expect(content.split("\r\n")).toHaveLength(file.rows + 1);
      expect(parse(content)).toHaveLength(file.rows);
    }
    expect(files.filter((file) => file.persona === "woodgrove").map((file) => file.rows)).toEqual([
      147, 48, 1885, 2355,
    ]);
    for (const [date, time, author, text] of rows) {
      expect(date).toMatch(/^\d{2}\/\d{2}\/\d{4}$/);
      expect(time).toMatch(/^\d{2}:\d{2}$/);
      expect(author).toBeTruthy();
      expect(text).not.toMatch(/[\r\n]/);
    }
  });

  it("mentions the account in about six of a hundred rows, before any quotation mark", () => {
    const texts = rows.map(([, , , text = ""]) => text);
    const mentioning = texts.filter((text) => text.includes(MENTIONED));
    expect(mentioning.length / texts.length).toBeGreaterThan(0.05);
    expect(mentioning.length / texts.length).toBeLessThan(0.07);
    for (const text of mentioning.filter((text) => text.includes('"')))
      expect(text.indexOf(MENTIONED)).toBeLessThan(text.indexOf('"'));
    expect(texts.some((text) => text.includes('"') && text.includes(","))).toBe(true);
    expect(texts.some((text) => /[^\0-\x7f]/.test(text))).toBe(true);
  });

  it("gives the same bytes every time", () => {
    const digest = (): string => {
      const hash = crypto.createHash("sha256");
      for (const file of generateDemoData(directory).files) hash.update(fs.readFileSync(file.path));
      return hash.digest("hex");
    };
    expect(digest()).toBe(digest());
    expect(digest()).toBe("ebd82e77389a9a70831f3d290ce9f2db0466d80dc6715f904357f1b160eb1319");
  });
});
