import Foundation
import ModelFiles
import Models
import Passes
import TensorCore
import Testing

/// The walk through a model.
@Suite("Calibration sweep")
struct SweepTests {
  private static let models = ["llama-mqa", "llama-bias", "qwen2", "qwen3", "bert-mean"]

  private func checkpoint(_ name: String) throws -> Checkpoint {
    let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().path
    return try Checkpoint.load(try ModelFiles.open("\(tests)/ModelsTests/Fixtures/models/\(name)"))
  }

  private func observations(_ name: String, memory: Int? = nil) throws -> [LayerObservation] {
    try steps(name, memory: memory).map(\.observation)
  }

  private func steps(
    _ name: String, memory: Int? = nil, options: CalibrationSweep.Options = .init()
  ) throws -> [CalibrationSweep.Step] {
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
    var found: [CalibrationSweep.Step] = []
    try sweep.run(options) { step in
      if step.observation.tokens > 0 { found.append(step) }
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

  @Test("observed outputs are the original's weights times its inputs, without a bias", arguments: models)
  func outputs(_ name: String) throws {
    var options = CalibrationSweep.Options()
    options.observesOutputs = true
    let crossing = try steps(name, options: options).filter { $0.observation.crossesOutputs }
    #expect(crossing.isEmpty == ["llama-bias", "bert-mean"].contains(name))
    for step in crossing {
      let (width, gram, cross) = (step.observation.width, step.observation.gram, step.observation.cross)
      let weights = try #require(step.layers.first).weights
      var (worst, largest) = (0.0, 0.0)
      for row in 0..<weights.rows {
        for column in 0..<width {
          let product = (0..<width).reduce(0.0) {
            $0 + Double(weights[row, $1]) * Double(gram[$1 * width + column])
          }
          worst = max(worst, abs(product - Double(cross[row * width + column])))
          largest = max(largest, abs(product))
        }
      }
      // Inputs and outputs may be rounded to eight bits of precision, each by itself.
      #expect(worst < 0.01 * largest, "\(name): \(worst) of \(largest)")
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
