import Foundation
import Testing

/// What every refusal has in common: one clear line, the right exit code, nothing written, the input as it was.
enum Refusal {
  /// Runs the program in `scratch`, checks all that, and gives the message without "compress: ".
  @discardableResult
  static func check(
    _ arguments: [String], in scratch: Scratch, status: Int32 = 65, _ words: [String] = [],
    case name: String = "",
    location: SourceLocation = #_sourceLocation
  ) throws -> String {
    let before = scratch.fingerprint
    let outcome = try Program.run(arguments, in: scratch.path)
    let what = "\(name) \(arguments): \(outcome.errors)"
    #expect(outcome.status == status, "\(what)", sourceLocation: location)
    #expect(outcome.output.isEmpty, "\(what)", sourceLocation: location)
    #expect(outcome.errors.hasPrefix("compress: "), "\(what)", sourceLocation: location)
    #expect(outcome.errors.hasSuffix("\n"), "\(what)", sourceLocation: location)
    #expect(outcome.errors.split(separator: "\n").count == 1, "\(what)", sourceLocation: location)
    #expect(!outcome.errors.contains(".partial-"), "\(what)", sourceLocation: location)
    for word in words {
      #expect(outcome.errors.contains(word), "'\(word)' in \(what)", sourceLocation: location)
    }
    #expect(scratch.fingerprint == before, "\(what)", sourceLocation: location)
    return String(outcome.errors.dropFirst("compress: ".count).dropLast())
  }

  /// Runs `compress --int4 NAME` on each of `cases` and compares all messages with the snapshot.
  static func checkAll(_ cases: [(name: String, bytes: [UInt8])], file: String, snapshot: String) throws {
    var lines: [String] = []
    for (name, bytes) in cases {
      let scratch = try Scratch()
      try scratch.write(bytes, to: file)
      lines.append("\(name): " + (try check(["--int4", file, "-o", "out"], in: scratch, [file], case: name)))
    }
    try Snapshot.check(lines.joined(separator: "\n") + "\n", name: snapshot)
  }
}

extension Scratch {
  /// Everything in the folder with its bytes: equal when nothing was changed, added or removed.
  var fingerprint: [String: Int] {
    Dictionary(
      uniqueKeysWithValues: contents.map { name in
        var status = stat()
        guard lstat(path + "/" + name, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
          let bytes = try? read(name)
        else { return (name, -1) }
        return (name, bytes.hashValue)
      })
  }
}
