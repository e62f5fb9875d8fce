import ModelFiles
import TensorCore

/// Reads modules that the `compressed-tensors` package, or this program, stored.
enum CompressedTensorsReader {
  /// The endings of the tensors that can belong to a quantized module.
  static let endings = ["weight", "weight_packed", "weight_scale", "weight_shape"] + unread.map(\.ending)

  /// Parts of schemes that are not read here.
  private static let unread: [(ending: String, what: String)] = [
    ("weight_zero_point", "zero points (asymmetric weights)"),
    ("weight_g_idx", "groups in the order of activations"),
    ("weight_global_scale", "scales of two levels"),
    ("input_scale", "fixed scales of activations"),
  ]

  /// The module's matrix: as it is when it is not quantized.
  ///
  /// - Parameter roundsTokens: whether the layer's activations are rounded to 8 bits with one scale a token.
  /// - Throws: ``ModelError``: parts that are missing or do not fit, and schemes that are not read here.
  static func matrix(of module: PackedParts, roundsTokens: Bool = false) throws -> StoredTensor {
    let name = module.module + ".weight"
    for (ending, what) in unread where module.parts[ending] != nil {
      throw ModelError(
        .unsupported, "",
        "tensor '\(module.module).\(ending)': \(what) are not read here; start from the original checkpoint")
    }
    if module.parts["weight_packed"] == nil, module.parts["weight_scale"] == nil {
      return try module.part("weight", TensorFormat.allCases)
    }
    let scale = try module.part("weight_scale", [.f16, .bf16, .f32])
    let scales: @Sendable () throws -> [UInt16] = { try scale.halves() }
    guard let packed = module.parts["weight_packed"] else {
      let stored = try module.part("weight", [.i8])
      guard stored.shape.count == 2 else { throw PackedParts.wrongShape(stored, [scale.rowCount, 1]) }
      let (rows, columns) = (stored.shape[0], stored.shape[1])
      let groups = try groups(of: scale, rows: rows)
      return try ForeignCodes(
        name: name, rows: rows, columns: columns, bits: 8, groups: groups, roundsTokens: roundsTokens,
        codes: { try stored.bytes.load().array.map { $0 ^ 0x80 } }, scales: scales
      ).tensor()
    }
    _ = try module.part("weight_packed", [.i32])
    let (rows, columns) = try size(module.part("weight_shape", [.i64, .i32]), module)
    guard packed.shape.count == 2, packed.shape[0] == rows else {
      throw PackedParts.wrongShape(packed, [rows, (columns + 7) / 8])
    }
    let words = packed.shape[1]
    // A row's words tell the bits of a code.
    let bits =
      words == (columns * 4 + 31) / 32 ? 4 : words == (columns * 8 + 31) / 32 ? 8 : 0
    guard bits > 0 else {
      throw ModelError(
        .unsupported, "",
        "tensor '\(packed.name)': \(words) words for rows of \(columns) are neither 4 nor 8 bits a weight")
    }
    return try ForeignCodes(
      name: name, rows: rows, columns: columns, bits: bits, groups: try groups(of: scale, rows: rows),
      roundsTokens: roundsTokens,
      codes: {
        try ForeignCodes.unpacked(packed, rows: rows, columns: columns, words: words, bits: bits)
      }, scales: scales
    ).tensor()
  }

  /// The sizes that `weight_shape` states.
  private static func size(_ shape: StoredTensor, _ module: PackedParts) throws -> (rows: Int, columns: Int) {
    guard shape.elementCount == 2 else { throw PackedParts.wrongShape(shape, [2]) }
    let sizes = try shape.integers()
    let limit = 1 << 40
    guard sizes.allSatisfy({ $0 > 0 && $0 < limit }) else {
      throw ModelError(
        .wrongShape, "",
        "tensor '\(shape.name)' states the sizes \(sizes[0]) and \(sizes[1]), which cannot be")
    }
    return (sizes[0], sizes[1])
  }

  /// The scales of a row; one scale for all rows is not among what is read.
  private static func groups(of scale: StoredTensor, rows: Int) throws -> Int {
    if scale.shape == [rows] { return 1 }
    guard scale.shape.count == 2, scale.shape[0] == rows, scale.shape[1] > 0 else {
      throw PackedParts.wrongShape(scale, [rows, 1])
    }
    return scale.shape[1]
  }
}
