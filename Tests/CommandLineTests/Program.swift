import Foundation

/// The built program, run as a user would.
enum Program {
  /// What a run printed and how it ended.
  struct Outcome {
    var status: Int32
    var output: String
    var errors: String
  }

  /// The binary beside the test bundle.
  static let path: String = {
    let bundle =
      (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))
      ?? CommandLine.arguments[0]
    let folder = URL(fileURLWithPath: bundle).deletingLastPathComponent()
    // The test runner may be a helper elsewhere: then the bundle is one of the arguments.
    let candidates =
      [folder] + CommandLine.arguments.map { URL(fileURLWithPath: $0).deletingLastPathComponent() }
    return candidates.map { $0.appendingPathComponent("compress").path }
      .first { FileManager.default.isExecutableFile(atPath: $0) } ?? "compress"
  }()

  /// The path of another program, or nil.
  static func find(_ name: String) -> String? {
    let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
    let folders = path.split(separator: ":").map(String.init) + ["/usr/bin", "/bin", "/usr/sbin", "/sbin"]
    return folders.map { $0 + "/" + name }.first { access($0, X_OK) == 0 }
  }

  /// Runs a line of shell.
  static func shell(_ line: String, in folder: String) throws -> Outcome {
    try run(["-c", line], in: folder, program: "/bin/sh")
  }

  /// Runs the program, or another one, with `arguments` in `folder`.
  static func run(
    _ arguments: [String], in folder: String, environment: [String: String] = [:], program: String = path
  ) throws -> Outcome {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: program)
    process.arguments = arguments
    process.currentDirectoryURL = URL(fileURLWithPath: folder)
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }.merging([
      "COLUMNS": "80"
    ]) { $1 }
    let place = FileManager.default.temporaryDirectory.appendingPathComponent(
      "compress-run-\(UUID().uuidString)"
    ).path
    for file in [place + ".out", place + ".err"] {
      _ = FileManager.default.createFile(atPath: file, contents: nil)
    }
    defer {
      for file in [place + ".out", place + ".err"] { try? FileManager.default.removeItem(atPath: file) }
    }
    process.standardOutput = try FileHandle(forWritingTo: URL(fileURLWithPath: place + ".out"))
    process.standardError = try FileHandle(forWritingTo: URL(fileURLWithPath: place + ".err"))
    process.standardInput = FileHandle.nullDevice
    try process.run()
    process.waitUntilExit()
    return Outcome(
      status: process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus,
      output: try String(contentsOfFile: place + ".out", encoding: .utf8),
      errors: try String(contentsOfFile: place + ".err", encoding: .utf8))
  }
}

/// A folder for one test, removed afterwards.
final class Scratch: Sendable {
  let path: String

  init() throws {
    path =
      FileManager.default.temporaryDirectory.appendingPathComponent("compress-test-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { remove() }

  /// Removes the folder now.
  func remove() { try? FileManager.default.removeItem(atPath: path) }

  /// Everything in the folder, hidden files too, sorted.
  var contents: [String] { ((try? FileManager.default.subpathsOfDirectory(atPath: path)) ?? []).sorted() }

  /// Writes a file.
  @discardableResult
  func write(_ bytes: [UInt8], to name: String) throws -> String {
    let file = path + "/" + name
    let folder = (file as NSString).deletingLastPathComponent
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try Data(bytes).write(to: URL(fileURLWithPath: file))
    return file
  }

  /// Copies a file or folder in.
  func copy(_ source: String, to name: String) throws {
    try FileManager.default.copyItem(atPath: source, toPath: path + "/" + name)
  }

  /// The bytes of a file.
  func read(_ name: String) throws -> [UInt8] {
    Array(try Data(contentsOf: URL(fileURLWithPath: path + "/" + name)))
  }
}

/// The reference model that the project ships.
enum Reference {
  static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().appendingPathComponent("Calibration/reference").path
  static let model = folder + "/model.bin"
}
