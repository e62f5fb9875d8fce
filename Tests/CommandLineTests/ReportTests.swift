import Foundation
import Testing

/// Reports of the reference model, with what changes from run to run and machine to machine masked: their form is what
/// scripts read and people know.
@Suite("Report snapshots")
struct ReportTests {
  private func run() throws -> Scratch {
    let scratch = try Scratch()
    let outcome = try Program.run(
      ["--int4", Reference.model, "-o", "out", "--eval-tokens", "1024", "--level", "1", "--threads", "2"],
      in: scratch.path)
    try #require(outcome.status == 0, "\(outcome.errors)")
    return scratch
  }

  @Test("report.json and report.md of the run and of a stage")
  func reports() throws {
    let scratch = try run()
    for (name, snapshot) in [("out/report", "report-run"), ("out/1-int4/report", "report-stage")] {
      let json = try JSONSerialization.jsonObject(with: Data(try scratch.read(name + ".json")))
      try Snapshot.check(ReportTests.outline(json) + "\n", name: snapshot + "-json")
      let text = String(decoding: try scratch.read(name + ".md"), as: UTF8.self)
      try Snapshot.check(ReportTests.masked(text), name: snapshot + "-md")
    }
    try Snapshot.check(String(decoding: try scratch.read("out/recipe.yaml"), as: UTF8.self), name: "recipe")
  }

  /// Keys whose values are the same everywhere.
  private static let stable: Set<String> = [
    "schema", "schemaVersion", "version", "index", "name", "format", "shape", "role", "kind", "container",
    "file",
    "parameters", "tensorBytes", "bytes", "tokens", "context", "seed", "label", "model", "recipeName", "note",
    "notes", "text", "pass",
  ]

  /// Keys and types, with the values that are stable; of a list of objects that are alike, the first.
  private static func outline(_ value: Any, key: String = "", indent: String = "") -> String {
    switch value {
    case let object as [String: Any]:
      return "{\n"
        + object.keys.sorted().map {
          "\(indent)  \($0): " + outline(object[$0] as Any, key: $0, indent: indent + "  ")
        }
        .joined(separator: "\n") + "\n\(indent)}"
    // Which they are depends on formats that were chosen by measuring.
    case let array as [Any] where key == "distributions": return "\(array.count) distributions"
    case is [Any] where key == "features": return "strings"
    case let array as [Any] where array.first is [String: Any] && key != "stages":
      return "\(array.count) × " + (array.first.map { outline($0, indent: indent) } ?? "")
    case let array as [Any]:
      return "[" + array.map { outline($0, key: key, indent: indent) }.joined(separator: ", ") + "]"
    case is NSNull: return key == "governor" ? "string" : "null"
    // Bytes of what was chosen by measuring differ between processors.
    case let text as String:
      return stable.contains(key) ? "\"\(text.replacing(#/[0-9]{6,}/#, with: "N"))\"" : "string"
    case let number as NSNumber: return stable.contains(key) ? "\(number)" : "number"
    default: return "?"
    }
  }

  /// The text with numbers, hashes, paths and the machine masked.
  private static func masked(_ text: String) -> String {
    let plain = text.replacingOccurrences(of: Program.path, with: "compress")
      .replacingOccurrences(of: Reference.model, with: "model.bin")
    let lines = plain.split(separator: "\n", omittingEmptySubsequences: false).map { line -> String in
      if line.hasPrefix("| machine") { return "| machine | … |" }
      let plain = String(line).replacing(#/[0-9a-f]{64}/#, with: "HASH").replacing(
        #/[-−+]?[0-9][0-9,.]*/#, with: "N")
      // The machine's line stands for any machine's.
      if plain.hasPrefix("Machine: ") { return "Machine: …" }
      return String(plain.replacing(#/N (MB|kB|B|µs|ms|s)\b/#, with: "N unit"))
    }
    return lines.joined(separator: "\n")
  }
}
