internal import Compression
internal import Evaluation
internal import Foundation
internal import ModelFiles
internal import Reporting
internal import TensorCore

extension LatencyProbe {
  /// Measures with `compress bench --json` in a process of its own, so that memory and load time are those of a program that
  /// does nothing but run the artifact. Falls back to this process where the program cannot find itself.
  ///
  /// - Parameter sweep: other numbers of threads to time with; nil for one thread where that is quick.
  static func subprocess(sweep: [Int]?) -> LatencyProbe {
    guard let program = executablePath() else { return .inProcess }
    return LatencyProbe { path in
      let process = Process()
      process.executableURL = URL(fileURLWithPath: program)
      let counts = sweep.map { $0.isEmpty ? "none" : $0.map(String.init).joined(separator: ",") } ?? "auto"
      process.arguments = [
        "bench", "--json", "--threads", "\(Parallel.threadCount)", "--threads-sweep", counts, path,
      ]
      let output = Pipe()
      process.standardOutput = output
      process.standardError = FileHandle.nullDevice
      do {
        try Interruption.child.withLock {
          try process.run()
          $0 = process.processIdentifier
        }
      } catch { return try LatencyProbe.measure(path) }
      let bytes = output.fileHandleForReading.readDataToEndOfFile()
      process.waitUntilExit()
      Interruption.child.withLock { $0 = 0 }
      guard process.terminationStatus == 0 else { return try LatencyProbe.measure(path) }
      return try LatencyMetrics(json: try JSONValue(parsing: String(decoding: bytes, as: UTF8.self)))
    }
  }

  private static func executablePath() -> String? {
    #if os(Linux)
      try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    #else
      Bundle.main.executablePath
    #endif
  }
}
