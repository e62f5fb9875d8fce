import Foundation
import TensorCore
import TestSupport
import Testing
import WeightCodecs

/// Real matrices: the error is never above llama.cpp's for the same type (Fixtures/make_llama_errors.py).
@Suite struct SharedModelTests {
  private static let files = [
    "stories260K/derived-hf/model.safetensors", "books-7m/model.safetensors",
    "minilm-l6-v2/model.safetensors",
  ]

  @Test(.enabled(if: SharedData.isPresent), arguments: files)
  func `errors are at most llama.cpp's`(_ file: String) throws {
    let json = try JSONSerialization.jsonObject(
      with: Data(contentsOf: URL(fileURLWithPath: fixture("llama-errors.json"))))
    let models = try #require(json as? [String: [String: [String: Any]]])
    let tensors = try SafetensorsFile(SharedData.path("models/" + file))
    var ratios: [String: [Sums]] = [:]
    for (name, entry) in try #require(models[file]).sorted(by: { $0.key < $1.key }) {
      let matrix = try tensors.rows(of: name, limit: try #require(entry["rows"] as? Int))
      #expect(matrix.columns == entry["columns"] as? Int)
      for format in quantized {
        guard let theirs = entry[format.rawValue] as? [Double] else { continue }
        let ours = try errors(matrix, format)
        // Q8_0 is the same encoding; its sums differ by the fixture's nine digits only.
        #expect(ours.plain <= theirs[0] * (1 + 1e-8), "\(name) \(format): plain")
        #expect(ours.weighted <= theirs[1] * (1 + 1e-8), "\(name) \(format): weighted")
        #expect(ours.important <= theirs[2] * (1 + 1e-6), "\(name) \(format): with importance")
        ratios[format.rawValue, default: []].append(
          (ours.plain / theirs[0], ours.weighted / theirs[1], ours.important / theirs[2]))
      }
    }
    for (format, values) in ratios.sorted(by: { $0.key < $1.key }) {
      print(
        file.prefix(7), format, "error / llama.cpp's: mse", summary(values.map(\.plain)), "weighted",
        summary(values.map(\.weighted)), "with importance", summary(values.map(\.important)))
    }
  }

  private func summary(_ values: [Double]) -> String {
    let mean = values.reduce(0, +) / Double(max(values.count, 1))
    return "mean \(rounded(mean)) max \(rounded(values.max() ?? 0))"
  }

  private func rounded(_ value: Double) -> Double { (value * 1000).rounded() / 1000 }

  private typealias Sums = (plain: Double, weighted: Double, important: Double)

  /// The squared error of our encoding, weighted as the fixture's script states.
  private func errors(_ matrix: Matrix, _ format: TensorFormat) throws -> Sums {
    let bytes = try TensorCoding.encode(matrix, format: format)
    let decoded = try TensorCoding.decode(bytes, format: format, rows: matrix.rows, columns: matrix.columns)
    var sums: Sums = (0, 0, 0)
    for first in stride(from: 0, to: matrix.elements.count, by: 32) {
      var squares = 0.0
      for i in first..<first + 32 { squares += Double(matrix.elements[i]) * Double(matrix.elements[i]) }
      let root = (squares / 32).squareRoot()
      for i in first..<first + 32 {
        let x = Double(matrix.elements[i])
        let error = (Double(decoded.elements[i]) - x) * (Double(decoded.elements[i]) - x)
        sums.plain += error
        sums.weighted += error * weight(format, abs(x), root)
      }
    }
    let importance = (0..<matrix.columns).map { column in
      let part = Double(1 + 37 * column % 101) / 101
      return Float(part * part * part)
    }
    sums.important = try importantError(matrix, format, importance)
    return sums
  }

  private func importantError(
    _ matrix: Matrix, _ format: TensorFormat, _ importance: [Float]
  ) throws -> Double {
    let bytes = try TensorCoding.encode(matrix, format: format, importance: importance)
    let decoded = try TensorCoding.decode(bytes, format: format, rows: matrix.rows, columns: matrix.columns)
    return weightedError(decoded.elements, matrix.elements) { Double(importance[$0 % importance.count]) }
  }

  private func weight(_ format: TensorFormat, _ magnitude: Double, _ root: Double) -> Double {
    switch format {
    case .q4_k, .q5_k: root + magnitude
    case .q2_k: magnitude
    default: magnitude * magnitude
    }
  }
}

/// Just enough of a reader: the tests of this module do not depend on ModelFiles.
private struct SafetensorsFile {
  let region: ByteRegion
  let header: [String: Any]
  let start: Int

  init(_ path: String) throws {
    region = try MappedFile(path: path).region
    let length = Int(region.base.loadUnaligned(as: UInt64.self))
    start = 8 + length
    let json = try JSONSerialization.jsonObject(with: Data(region.slice(8..<start).buffer))
    header = try #require(json as? [String: Any])
  }

  /// The first rows of a matrix, as floats.
  func rows(of name: String, limit: Int) throws -> Matrix {
    let entry = try #require(header[name] as? [String: Any])
    let shape = try #require(entry["shape"] as? [Int])
    let offsets = try #require(entry["data_offsets"] as? [Int])
    let format: TensorFormat = entry["dtype"] as? String == "BF16" ? .bf16 : .f32
    let rows = min(limit, shape[0])
    let first = start + offsets[0]
    let bytes = region.slice(first..<first + rows * shape[1] * format.bytesPerBlock)
    return try TensorCoding.decode(bytes, format: format, rows: rows, columns: shape[1])
  }
}
