import Foundation
import Testing

@Suite("Help and usage")
struct HelpTests {
  static let commands = [
    "", "run", "inspect", "eval", "bench", "generate", "convert", "unpack", "verify", "compare",
  ]

  @Test("help texts are what was reviewed", arguments: commands)
  func help(command: String) throws {
    let scratch = try Scratch()
    let outcome = try Program.run(command.isEmpty ? ["--help"] : ["help", command], in: scratch.path)
    #expect(outcome.status == 0)
    #expect(outcome.output.contains("EXAMPLES"))
    try Snapshot.check(outcome.output, name: "help\(command.isEmpty ? "" : "-" + command)")
  }

  @Test(
    "a command line that cannot be meant is refused with exit code 64 and one clear reason",
    arguments: [
      (
        ["model.bin"],
        "Nothing to do: add --int4, --int8, --w8a8, --prune 0.5, --distill layers=4, --target-size SIZE"
      ),
      (["--prune", "1.5", "model.bin"], "The value '1.5' is invalid for '--prune <share|N:M>'"),
      (["--int4", "--prune-method", "wanda", "model.bin"], "--prune-method"),
      (["--int4", "--int8", "model.bin"], "Choose --int8, --int4 or --w8a8"),
      (["--int4", "--recipe", "r.yaml", "model.bin"], "Choose --recipe or flags such as --int4"),
      (["--int4", "--smooth", "0.5", "model.bin"], "--smooth belongs to --w8a8."),
      (["--w8a8", "--smooth", "2", "model.bin"], "The value '2' is invalid for '--smooth <smooth>'"),
      (["--int4", "--tune", "codes", "model.bin"], "--tune belongs to --recover."),
      (["--int4", "--recover", "5parsecs", "model.bin"], "The value '5parsecs' is invalid for '--recover"),
      (["--distill", "layers=2", "--student", "c.json", "model.bin"], "Choose --distill or --student."),
      (
        ["--int4", "--teacher-cache", "d", "model.bin"],
        "--teacher-cache belong to a training, and no stage trains."
      ),
      (["--int4", "--teacher-tokens", "8", "model.bin"], "--teacher-tokens belongs to --teacher-cache"),
      (["--int4", "--own-tokens", "8", "model.bin"], "Options of training belong to --distill or --recover"),
      (
        ["--int4", "--recover", "5", "--train", "self", "--own-tokens", "8", "model.bin"],
        "--own-tokens goes beside a text to learn from"
      ),
      (["--int4"], "Missing expected argument '<model>'"),
      (["--int4", "model.bin", "--colour"], "Unknown option '--colour'"),
      (["--int4", "model.bin", "--threads", "0"], "--threads must be from 1 to 1024."),
      (["--int4", "model.bin", "--context", "3"], "--context must be at least 8."),
      (["generate", "model.bin", "--temperature=-1"], "--temperature must be 0 or more."),
      (["convert", "model.bin", "-o", "x", "--to", "q9"], "Unknown format 'q9' for --to."),
    ])
  func usage(arguments: [String], message: String) throws {
    let scratch = try Scratch()
    let outcome = try Program.run(arguments, in: scratch.path)
    #expect(outcome.status == 64)
    #expect(outcome.errors.contains(message), "\(outcome.errors)")
    #expect(scratch.contents.isEmpty)
  }

  @Test("the version is printed")
  func version() throws {
    let outcome = try Program.run(["--version"], in: "/")
    #expect(outcome.status == 0)
    #expect(outcome.output.hasPrefix("compress 0."))
  }
}

/// Texts that were looked at and kept. `UPDATE_SNAPSHOTS=1` writes them anew.
enum Snapshot {
  static func check(_ text: String, name: String) throws {
    let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent(
      "Snapshots/\(name).txt")
    if ProcessInfo.processInfo.environment["UPDATE_SNAPSHOTS"] == "1" {
      try text.write(to: file, atomically: true, encoding: .utf8)
    }
    #expect(try String(contentsOf: file, encoding: .utf8) == text)
  }
}
