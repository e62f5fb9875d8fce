import Foundation
import Testing

/// What a run draws on a terminal: `script` of util-linux gives the program one.
@Suite("Terminal")
struct TerminalTests {
  private static let script = Program.find("script")

  /// A short run with two stages on a terminal of this size: what it wrote there.
  private static func run(
    columns: Int, rows: Int = 40, more: String = "", environment: [String: String] = [:]
  ) throws -> String? {
    guard let script else {
      print("script (util-linux) is not installed: nothing was run on a terminal")
      return nil
    }
    let scratch = try Scratch()
    let command =
      "stty cols \(columns) rows \(rows); exec '\(Program.path)' --prune 0.5 --int8 '\(Reference.model)' -o out "
      + "--eval-tokens 2048 --no-latency --no-frontier --level 1 \(more)"
    var all = ["TERM": "xterm-256color", "NO_COLOR": ""]
    all.merge(environment) { $1 }
    let outcome = try Program.run(
      ["-qec", command, "/dev/null"], in: scratch.path, environment: all, program: script)
    #expect(outcome.status == 0, "\(outcome.output)")
    return outcome.output
  }

  @Test(
    "the table of stages grows in place, no line is broken, and it is gone when the result is printed",
    arguments: [60, 120])
  func live(columns: Int) throws {
    guard let output = try Self.run(columns: columns) else { return }
    var screen = Screen(width: columns)
    var most = 0
    screen.show(output) { seen in
      // One table at a time: the rule below its heads tells.
      most = max(most, seen.split(separator: "\n").count { $0.hasPrefix("  ─") })
    }
    #expect(most == 1, "\(most) tables at a time")
    #expect(screen.unknown == [] && screen.hasColours)
    // The table that stays begins at the margin; what was drawn in place is gone.
    let lines = screen.text.split(separator: "\n")
    #expect(!lines.contains { $0.hasPrefix("  ─") || $0.contains("[####") })
    #expect(lines.contains { $0.hasPrefix("2 int8") } && lines.contains { $0.hasPrefix("[2/2] int8") })
    #expect(output.contains("\u{1B}[1m[1/2]"))
  }

  @Test("NO_COLOR takes colours away, and nothing else")
  func plain() throws {
    guard let output = try Self.run(columns: 100, environment: ["NO_COLOR": "1"]) else { return }
    var screen = Screen(width: 100)
    screen.show(output)
    #expect(!screen.hasColours && screen.unknown == [] && output.contains("\u{1B}[J"))
  }

  @Test("a terminal that cannot redraw, and what is no terminal, get plain lines")
  func dumb() throws {
    if let output = try Self.run(columns: 100, environment: ["TERM": "dumb"]) {
      #expect(!output.contains("\u{1B}") && output.contains("[1/2] prune"))
    }
    let scratch = try Scratch()
    let outcome = try Program.run(
      ["--int8", Reference.model, "-o", "out", "--eval-tokens", "1024", "--no-latency", "--level", "1"],
      in: scratch.path, environment: ["TERM": "xterm"])
    #expect(outcome.status == 0 && !(outcome.output + outcome.errors).contains("\u{1B}"))
    #expect(outcome.errors.contains("[1/1] int8"))
  }

  @Test("quiet draws nothing; a low terminal has no table in place")
  func quiet() throws {
    if let output = try Self.run(columns: 100, more: "-q") { #expect(!output.contains("\u{1B}")) }
    guard let output = try Self.run(columns: 100, rows: 4) else { return }
    var screen = Screen(width: 100)
    var most = 0
    screen.show(output) { seen in most = max(most, seen.split(separator: "\n").count { $0.hasPrefix("  ─") })
    }
    #expect(most == 0)
  }
}
