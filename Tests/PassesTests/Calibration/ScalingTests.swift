import Foundation
import ModelFiles
import Passes
import TensorCore
import Testing

/// Columns scaled up, and what makes their inputs scaled down.
@Suite("Activation-aware scaling")
struct ScalingTests {
  @Test("what is scaled up and what is scaled down cancel")
  func cancels() throws {
    // A few inputs far larger than the others: where AWQ helps.
    let sample = RoundingCase(rows: 24, columns: 64, tokens: 200, seed: 23)
    var observation = LayerObservation(width: 64)
    var generator = SeededGenerator(seed: 29)
    let inputs = (0..<200 * 64).map { place in
      Float(generator.uniform() - 0.5) * (place % 64 % 9 == 0 ? 20 : 1)
    }
    inputs.withUnsafeBufferPointer {
      if let base = $0.baseAddress { observation.add(original: base, compressed: base, tokens: 200) }
    }
    observation.finish()
    let norm = Matrix(rows: 1, columns: 64, elements: (0..<64).map { 1 + Float($0) / 64 })
    func tensor(_ name: String, _ shape: [Int]) -> StoredTensor {
      StoredTensor(
        name: name, shape: shape, format: .f32,
        bytes: TensorBytes(ByteRegion([UInt8](repeating: 0, count: shape.reduce(4, *)))))
    }
    let scaling = ActivationAwareScaling(
      formats: ["layer": .q4_0], stored: ["layer": tensor("layer", [24, 64]), "norm": tensor("norm", [64])])
    let changed = try scaling.scaled(
      CalibrationSweep.Step(
        block: 0, layers: [.init("layer", sample.weights)], observation: observation,
        sources: [("norm", norm)]))
    #expect(changed.map(\.name) == ["layer", "norm"])
    let layer = try #require(changed.first).bytes.load()
    let scaled = try #require(changed.last).bytes.load()
    for row in 0..<24 {
      for column in 0..<64 {
        let w = layer.base.loadUnaligned(fromByteOffset: 4 * (row * 64 + column), as: Float.self)
        let n = scaled.base.loadUnaligned(fromByteOffset: 4 * column, as: Float.self)
        let expected = sample.weights[row, column] * norm[0, column]
        #expect(abs(w * n - expected) <= 1e-5 * abs(expected) + 1e-9)
      }
    }
  }

  @Test("without anything to fold a scale into, nothing changes")
  func nothing() throws {
    let sample = RoundingCase(rows: 4, columns: 32, tokens: 20, seed: 1)
    let changed = try ActivationAwareScaling(formats: ["layer": .q4_0], stored: [:]).scaled(
      CalibrationSweep.Step(
        block: 0, layers: [.init("layer", sample.weights)], observation: LayerObservation(width: 32),
        sources: []))
    #expect(changed.isEmpty)
  }
}
