import Foundation
import TensorCore
import Testing

/// A program that is stopped or killed at any moment leaves no file that looks finished and is not.
@Suite("Stopped and killed")
struct KillTests {
  /// Starts the program, and sends `signal` after `seconds`; the status, negative for a death by signal.
  private func start(_ arguments: [String], in scratch: Scratch, kill signal: Int32, after seconds: Double)
    throws
    -> Int32
  {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: Program.path)
    process.arguments = arguments
    process.currentDirectoryURL = URL(fileURLWithPath: scratch.path)
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    process.standardInput = FileHandle.nullDevice
    try process.run()
    usleep(UInt32(seconds * 1e6))
    kill(process.processIdentifier, signal)
    process.waitUntilExit()
    return process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus
  }

  private static let run = ["--int8", Reference.model, "-o", "out"] + Samples.quick
  private static let pack = [
    "convert", Reference.model, "-o", "m.gguf.zst", "--pack", "--level", "1", "--force",
  ]
  private static let folder = [
    "convert", Reference.model, "-o", "folder", "--format", "safetensors", "--force",
  ]

  /// The bytes of every artifact and model of an undisturbed run.
  private func wanted(_ scratch: Scratch) throws -> [String: [UInt8]] {
    var result: [String: [UInt8]] = [:]
    for name in scratch.contents
    where name.hasSuffix(".zst") || name.hasSuffix(".gguf") || name.hasPrefix("folder/") {
      result[name] = try scratch.read(name)
    }
    return result
  }

  @Test("SIGKILL at random moments: whatever has its final name is whole; the next run works and tidies up")
  func killed() throws {
    let good = try Scratch()
    let unpack = ["unpack", try Samples.artifact, "-o", "u.gguf", "--force"]
    let jobs = [KillTests.run, KillTests.pack, unpack, KillTests.folder]
    var durations: [Double] = []
    for job in jobs {
      let begin = ContinuousClock.now
      #expect(try Program.run(job, in: good.path).status == 0)
      durations.append((ContinuousClock.now - begin) / .seconds(1))
    }
    let files = Set(good.contents)
    let wanted = try wanted(good)
    #expect(wanted.count >= 6)
    var random = SeededGenerator(seed: 20)
    let scratch = try Scratch()
    for round in 0..<16 {
      // Runs are longest and have most to get wrong; later ones replace what earlier ones finished.
      let which = round % 2 == 0 ? 0 : 1 + round / 2 % 3
      let status = try start(
        jobs[which], in: scratch, kill: SIGKILL, after: random.uniform() * durations[which] * 1.05)
      #expect(status == -SIGKILL || status == 0)
      for name in scratch.contents where !name.hasPrefix(".") {
        #expect(files.contains(name), "\(name) has a final name")
        if let bytes = wanted[name] { #expect(try scratch.read(name) == bytes, "\(name)") }
      }
      if scratch.contents.contains("out") {
        #expect(
          files.filter { $0.hasPrefix("out") }.isSubset(of: scratch.contents),
          "the run's folder is incomplete")
      }
      if scratch.contents.contains("folder") {
        #expect(files.filter { $0.hasPrefix("folder") }.isSubset(of: scratch.contents))
      }
    }
    for job in [KillTests.run, KillTests.folder] {
      #expect(try Program.run(job, in: scratch.path).status == 0)
    }
    let stale = scratch.contents.filter { $0.hasPrefix(".out.") || $0.hasPrefix(".folder.") }
    #expect(stale.isEmpty, "\(stale)")
    for name in scratch.contents where name.hasSuffix(".zst") && !name.hasPrefix(".") {
      #expect(try Program.run(["verify", name], in: scratch.path).status == 0)
    }
  }

  @Test("SIGINT and SIGTERM: exit 130 and 143, and no litter at all", arguments: [SIGINT, SIGTERM])
  func stopped(signal: Int32) throws {
    var random = SeededGenerator(seed: UInt64(signal))
    var stops = 0
    for round in 0..<8 {
      let scratch = try Scratch()
      let job = [
        ["--int4", Reference.model, "-o", "new/out", "--level", "19"],
        ["convert", Reference.model, "-o", "m.gguf.zst", "--pack", "--level", "22"],
      ][round % 2]
      let status = try start(job, in: scratch, kill: signal, after: 0.1 + random.uniform() * 0.5)
      guard status != 0 else { continue }
      // A signal before the program has taken them over ends it as the system does.
      #expect(status == 128 + signal || status == -signal, "\(status)")
      #expect(scratch.contents.isEmpty, "\(scratch.contents)")
      stops += 1
    }
    #expect(stops > 0)
  }
}
