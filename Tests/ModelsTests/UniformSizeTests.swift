import Foundation
import ModelFiles
import Models
import TensorCore
import TestSupport
import Testing
import WeightCodecs

/// How near to their entropy uniform codes are stored, on weights of a real model.
@Suite struct UniformSizeTests {
  /// Codes of a tensor with a step that is a part of each row's deviation; columns' steps differ by `spread` (of their logarithm).
  static func codes(_ tensor: StoredTensor, step: Float, spread: Float) throws -> UniformTensor {
    let (rows, columns) = (tensor.rowCount, tensor.rowLength)
    let values = try tensor.values()
    var generator = SeededGenerator(seed: 4)
    let scales = (0..<columns).map { _ in
      let normal = (0..<12).reduce(-6.0) { sum, _ in sum + generator.uniform() }
      return exp(spread * Float(normal))
    }
    let deviations = (0..<rows).map { row -> Float in
      let squares = values[row * columns..<(row + 1) * columns].reduce(Float(0)) { $0 + $1 * $1 }
      return step * (squares / Float(columns)).squareRoot()
    }
    let (r, c) = UniformTensor.storedScales(rows: deviations, columns: scales)
    let codes = values.enumerated().map { place, value in
      let code = (value / (r[place / columns] * c[place % columns])).rounded()
      return Int16(min(max(code, -127), 127))
    }
    return try UniformTensor(codes: codes, rowScales: r, columnScales: c)
  }

  /// The sum of the columns' entropies, in bytes.
  static func entropy(_ tensor: UniformTensor, rows: Int, columns: Int) -> Double {
    let bytes = tensor.bytes.array
    return (0..<columns).reduce(0.0) { sum, column in
      var counts = [Int](repeating: 0, count: 256)
      for row in 0..<rows { counts[Int(bytes[row * (columns + 2) + 2 + column])] += 1 }
      return counts.reduce(sum) { $1 == 0 ? $0 : $0 - Double($1) * log2(Double($1) / Double(rows)) / 8 }
    }
  }

  @Test(
    .enabled(if: SharedData.isPresent),
    arguments: [
      (Float(0.2), Float(0), 1.03), (0.2, 0.5, 1.055), (0.5, 0, 1.03), (0.5, 0.5, 1.07), (1, 0.5, 1.15),
    ])
  func artifactsComeNearTheEntropy(step: Float, spread: Float, factor: Double) throws {
    let folder = SharedData.path("models/books-7m")
    var checkpoint = try Checkpoint.load(try ModelFiles.open(folder))
    var (ideal, weights, scales) = (0.0, 0, 0)
    checkpoint.tensors = try checkpoint.tensors.filter { checkpoint.role(of: $0).isLinear }.prefix(14).map {
      tensor in
      let codes = try Self.codes(tensor, step: step, spread: spread)
      ideal += Self.entropy(codes, rows: tensor.rowCount, columns: tensor.rowLength)
      weights += tensor.elementCount
      scales += 2 * tensor.rowCount + 3 * tensor.rowLength
      var result = tensor
      (result.format, result.bytes) = (codes.format, TensorBytes(codes.bytes))
      return result
    }
    let contents = try checkpoint.safetensorsContents()
    let layout = try SafetensorsWriter.layout(tensors: contents.tensors, metadata: contents.metadata)
    for level in [1, 19] {
      let path = temporaryPath("zst")
      defer { try? FileManager.default.removeItem(atPath: path) }
      let summary = try ArtifactFile.write(layout, to: path, level: level, toolVersion: "test")
      let back = try ArtifactFile.read(MappedFile(path: path))
      let frames = try #require(back.manifest).tensors.reduce(0) { $0 + $1.part.packedCount }
      let bits = { (bytes: Double) in String(format: "%.3f", bytes * 8 / Double(weights)) }
      print(
        "step \(step), spread \(spread), level \(level): columns' entropy \(bits(ideal)), frames \(bits(Double(frames))),",
        "artifact \(bits(Double(summary.bytes))) bits a weight, \(back.manifest?.tensors.count ?? 0) tensors")
      // A column's entropy is below what any table for several can reach; frames have heads and tables of their own.
      #expect(Double(frames) < ideal * factor + Double(scales) + 6000)
    }
  }
}
