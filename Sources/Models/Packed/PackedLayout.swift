public import ModelFiles
import TensorCore

/// How quantized matrices lie in a safetensors file, which has only plain elements: each becomes several tensors.
public enum PackedLayout: String, Sendable, CaseIterable {
  /// `quant_method: compressed-tensors`, as `transformers` and vLLM load it.
  case compressedTensors = "compressed-tensors"
  /// `quant_method: gptq`, version 1 (zero points stored minus one).
  case gptq
  /// `quant_method: compress`: what only this program reads, uniform codes among others.
  case own = "compress"
}

/// A matrix in parts: the tensors of a file that belong to one `….weight`.
struct PackedParts {
  /// The module's name, without `.weight`.
  let module: String
  /// The parts by the ending behind the module's name: "weight_packed", "qweight" …
  let parts: [String: StoredTensor]

  /// A part that has to be there, of given element types.
  ///
  /// - Throws: ``ModelError`` that names it.
  func part(_ ending: String, _ formats: [TensorFormat]) throws -> StoredTensor {
    guard let tensor = parts[ending] else {
      throw ModelError(.missingTensor, "", "tensor '\(module).\(ending)' is missing")
    }
    guard formats.contains(tensor.format) else {
      throw ModelError(
        .unsupported, "",
        "tensor '\(tensor.name)' is stored as \(tensor.format.rawValue); expected "
          + formats.map(\.rawValue).joined(separator: " or "))
    }
    return tensor
  }

  /// A failure of one of the parts.
  static func wrongShape(_ tensor: StoredTensor, _ expected: [Int]) -> ModelError {
    ModelError(
      .wrongShape, "",
      "tensor '\(tensor.name)' is \(tensor.shapeText); its neighbours ask for \(StoredTensor.text(expected))")
  }

  /// Gathers the tensors whose names end in one of `endings` by module, in the order of their first part; the others stay.
  static func gather(
    _ tensors: [StoredTensor], endings: [String]
  ) -> (modules: [PackedParts], others: [StoredTensor]) {
    var order: [String] = []
    var found: [String: [String: StoredTensor]] = [:]
    var others: [StoredTensor] = []
    for tensor in tensors {
      guard let dot = tensor.name.lastIndex(of: "."),
        case let ending = String(tensor.name[tensor.name.index(after: dot)...]), endings.contains(ending)
      else {
        others.append(tensor)
        continue
      }
      let module = String(tensor.name[..<dot])
      if found[module] == nil { order.append(module) }
      found[module, default: [:]][ending] = tensor
    }
    return (order.map { PackedParts(module: $0, parts: found[$0] ?? [:]) }, others)
  }
}

extension StoredTensor {
  /// All elements as half-precision bits: scales of any float type.
  ///
  /// - Throws: ``ModelError`` for one that is NaN, infinite, or beyond half precision.
  func halves() throws -> [UInt16] {
    let numbers = try values()
    if let place = numbers.firstIndex(where: { !$0.isFinite || abs($0) > 65504 }) {
      throw ModelError(
        .nonFinite, "",
        "tensor '\(name)': scale \(place) is \(numbers[place]), which half precision cannot hold")
    }
    return [UInt16](unsafeUninitializedCapacity: numbers.count) { target, count in
      if let base = target.baseAddress { Kernels.encode(numbers, as: .f16, into: base, count: numbers.count) }
      count = numbers.count
    }
  }

  /// All elements as whole numbers.
  ///
  /// - Precondition: the format is i32 or i64.
  func integers() throws -> [Int] {
    let (region, isWide) = (try bytes.load(), format == .i64)
    return region.withBytes { buffer in
      (0..<elementCount).map { place in
        isWide
          ? Int(Int64(littleEndian: buffer.loadUnaligned(fromByteOffset: 8 * place, as: Int64.self)))
          : Int(Int32(littleEndian: buffer.loadUnaligned(fromByteOffset: 4 * place, as: Int32.self)))
      }
    }
  }

  /// A tensor made from this one's bytes when they are asked for.
  func derived(
    _ name: String, shape: [Int], format: TensorFormat,
    _ fill: @escaping @Sendable (_ source: ByteRegion, _ target: UnsafeMutableRawPointer) throws -> Void
  ) -> StoredTensor {
    let original = bytes
    let count = StoredTensor.byteCount(shape: shape, format: format) ?? 0
    return StoredTensor(
      name: name, shape: shape, format: format,
      bytes: TensorBytes(count: count) {
        let source = try original.load()
        return try ByteRegion(count: count) { memory in
          if let base = memory.baseAddress, count > 0 { try fill(source, base) }
        }
      })
  }
}
