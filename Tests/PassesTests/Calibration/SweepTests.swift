import Foundation
import ModelFiles
import Models
import Passes
import TensorCore
import Testing

/// The walk through a model.
@Suite("Calibration sweep")
struct SweepTests {
  private static let models = ["llama-mqa", "qwen2", "qwen3", "bert-mean"]

  private func checkpoint(_ name: String) throws -> Checkpoint {
    let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().path
    return try Checkpoint.load(try ModelFiles.open("\(tests)/ModelsTests/Fixtures/models/\(name)"))
  }

  private func observations(_ name: String, memory: Int? = nil) throws -> [LayerObservation] {
    let checkpoint = try checkpoint(name)
    var generator = SeededGenerator(seed: 3)
    let sequences = (0..<6).map { index in
      (0..<5 + 2 * index).map { _ in 3 + Int(generator.uniform() * 10) }
    }
    let calibration = CalibrationSet(
      sequences: Array(sequences.dropLast()), heldOut: Array(sequences.suffix(1)))
    var context = PassContext(calibration: calibration)
    context.memoryLimit = memory
    let sweep = try #require(CalibrationSweep(checkpoint, calibration: calibration, context: context))
    var found: [LayerObservation] = []
    try sweep.run { step in
      if step.observation.tokens > 0 { found.append(step.observation) }
      return [:]
    }
    return found
  }

  @Test("where nothing is replaced, both models see the same inputs", arguments: models)
  func same(_ name: String) throws {
    let found = try observations(name)
    #expect(!found.isEmpty)
    for observation in found where !observation.cross.isEmpty {
      let scale = observation.diagonal.max() ?? 1
      let worst = zip(observation.gram, observation.cross).map { abs($0 - $1) }.max() ?? .infinity
      #expect(worst < 1e-4 * scale, "\(name): \(worst) of \(scale)")
      #expect(observation.heldOut.original == observation.heldOut.compressed)
    }
  }

  @Test("streams in files give what streams in memory give", arguments: ["llama-mqa", "bert-mean"])
  func files(_ name: String) throws {
    let (memory, files) = (try observations(name), try observations(name, memory: 64))
    #expect(memory.count == files.count)
    for (a, b) in zip(memory, files) {
      #expect(a.gram == b.gram && a.cross == b.cross && a.heldOut.compressed == b.heldOut.compressed)
    }
  }
}
