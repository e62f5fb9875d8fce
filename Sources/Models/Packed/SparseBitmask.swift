import ModelFiles
import TensorCore

/// `sparse-bitmask` of the `compressed-tensors` package (up to version 0.12): the weights that are not zero, and where they are.
///
/// For a linear layer X of `rows` × `columns`:
/// - `X.shape` I64 [2]: rows, columns;
/// - `X.compressed`, the weights' type, [n]: what is not zero, row by row;
/// - `X.bitmask` U8 [rows, ⌈columns/8⌉]: which those are, from the lowest bit on;
/// - `X.row_offsets` I64 [rows]: where each row starts in `X.compressed`.
///
/// Codes of 8 bits are stored as in `int-quantized`, with `X.weight_scale` beside them.
enum SparseBitmask {
  static let name = "sparse-bitmask"
  static let endings = ["shape", "compressed", "bitmask", "row_offsets"]
  private static let formats: [TensorFormat] = [.f32, .f16, .bf16, .int8_channel, .w8a8]

  /// Whether a tensor can be stored so.
  static func suits(_ tensor: StoredTensor) -> Bool {
    SparseBlob.suits(tensor) && formats.contains(tensor.format)
  }

  /// The parts that a sparse tensor becomes. The tensor is made once to count what is not zero.
  ///
  /// - Precondition: ``suits(_:)``.
  static func parts(of tensor: StoredTensor, module: String) throws -> [StoredTensor] {
    guard tensor.format.isFloat else {
      // As rounded activations have it: plain integers and a scale a row.
      let plain = CompressedTensors.integerParts(of: tensor, module: module)
      return try plain.flatMap { $0.format == .i8 ? try parts(ofPlain: $0, module: module) : [$0] }
    }
    return try parts(ofPlain: tensor, module: module)
  }

  private static func parts(ofPlain tensor: StoredTensor, module: String) throws -> [StoredTensor] {
    let (rows, columns, format) = (tensor.rowCount, tensor.rowLength, tensor.format)
    let (width, stride) = (format.bytesPerBlock, (columns + 7) / 8)
    let counts = try tensor.bytes.load().withBytes { bytes in
      (0..<rows).map { row in
        (0..<columns).count { !isZero(bytes, (row * columns + $0) * width, width) }
      }
    }
    var offsets: [Int64] = []
    for count in counts { offsets.append((offsets.last ?? 0) + Int64(count)) }
    let total = Int(offsets.last ?? 0)
    let starts = zip(offsets, counts).map { ($0 - Int64($1)).littleEndian }
    let compressed = tensor.derived(module + ".compressed", shape: [total], format: format) {
      source, target in
      var place = 0
      for index in 0..<rows * columns where !isZero(source.buffer, index * width, width) && place < total {
        (target + place * width).copyMemory(from: source.base + index * width, byteCount: width)
        place += 1
      }
    }
    let mask = tensor.derived(module + ".bitmask", shape: [rows, stride], format: .u8) { source, target in
      let bits = target.assumingMemoryBound(to: UInt8.self)
      for row in 0..<rows {
        for column in 0..<columns where !isZero(source.buffer, (row * columns + column) * width, width) {
          bits[row * stride + column / 8] |= 1 << UInt8(column % 8)
        }
      }
    }
    func integers(_ ending: String, _ values: [Int64]) -> StoredTensor {
      StoredTensor(
        name: "\(module).\(ending)", shape: [values.count], format: .i64,
        bytes: TensorBytes(ByteRegion(values.withUnsafeBytes { Array($0) })))
    }
    return [
      integers("shape", [Int64(rows).littleEndian, Int64(columns).littleEndian]), compressed, mask,
      integers("row_offsets", starts),
    ]
  }

  /// Whether an element is zero, of either sign for floats.
  private static func isZero(_ bytes: UnsafeRawBufferPointer, _ place: Int, _ width: Int) -> Bool {
    for byte in 0..<width - 1 where bytes[place + byte] != 0 { return false }
    let last = bytes[place + width - 1]
    return width == 1 ? last == 0 : last & 0x7f == 0
  }

  // MARK: Reading

  /// The dense tensor `X.weight` of a module's parts.
  ///
  /// - Throws: ``ModelError``: parts that are missing or do not fit each other.
  static func matrix(of module: PackedParts) throws -> StoredTensor {
    let (shape, values) = (
      try module.part("shape", [.i64]), try module.part("compressed", [.f32, .f16, .bf16, .i8])
    )
    let mask = try module.part("bitmask", [.u8])
    guard shape.elementCount == 2 else { throw PackedParts.wrongShape(shape, [2]) }
    let sizes = try shape.integers()
    guard sizes.allSatisfy({ $0 > 0 && $0 < 1 << 31 }) else {
      throw ModelError(
        .wrongShape, "",
        "tensor '\(shape.name)' states the sizes \(sizes[0]) and \(sizes[1]), which cannot be")
    }
    let (rows, columns, stride) = (sizes[0], sizes[1], (sizes[1] + 7) / 8)
    guard mask.shape == [rows, stride] else { throw PackedParts.wrongShape(mask, [rows, stride]) }
    let (format, width) = (values.format, values.format.bytesPerBlock)
    guard values.shape.count == 1, let count = format.byteCount(rows: rows, columns: columns) else {
      throw PackedParts.wrongShape(values, [rows * columns])
    }
    var result = StoredTensor(
      name: module.module + ".weight", shape: [rows, columns], format: format,
      bytes: TensorBytes(count: count) {
        let (bits, stored) = (try mask.bytes.load(), try values.bytes.load())
        let total = bits.withBytes { $0.reduce(0) { $0 + $1.nonzeroBitCount } }
        let spare = columns % 8
        let isClean = bits.withBytes { bits in
          spare == 0 || (0..<rows).allSatisfy { bits[($0 + 1) * stride - 1] >> spare == 0 }
        }
        guard total == values.elementCount, isClean else {
          throw ModelError(
            .wrongShape, "",
            "tensor '\(mask.name)' marks \(total) weights, but '\(values.name)' holds \(values.elementCount)")
        }
        return ByteRegion(count: count) { memory in
          guard let target = memory.baseAddress else { return }
          let bits = bits.base.assumingMemoryBound(to: UInt8.self)
          var place = 0
          for row in 0..<rows {
            for column in 0..<columns where bits[row * stride + column / 8] >> UInt8(column % 8) & 1 == 1 {
              (target + (row * columns + column) * width).copyMemory(
                from: stored.base + place * width, byteCount: width)
              place += 1
            }
          }
        }
      })
    result.keptLimit = values.elementCount
    return result
  }
}

extension Checkpoint {
  /// The checkpoint as a Hugging Face folder whose pruned matrices keep their holes: `compressed-tensors` with `sparse-bitmask`.
  ///
  /// - Throws: ``ModelError`` when nothing is sparse, or a quantized tensor does not fit the layout.
  public func sparseBitmaskContents() throws -> SafetensorsContents {
    let sparse = tensors.filter(SparseBitmask.suits)
    guard !sparse.isEmpty else {
      throw ModelError(
        .unsupported, source.path,
        "no matrix is sparse in a format that the sparse-bitmask layout has; unpack it dense")
    }
    var dense = self
    for place in dense.tensors.indices { dense.tensors[place].keptLimit = nil }
    let modules = Set(sparse.map { String($0.name.dropLast(".weight".count)) })
    var others = dense
    others.tensors.removeAll { tensor in sparse.contains { $0.name == tensor.name } }
    var contents = try others.safetensorsContents()
    for tensor in sparse {
      contents.tensors += try SparseBitmask.parts(
        of: tensor, module: String(tensor.name.dropLast(".weight".count)))
    }
    let settings = sparseConfiguration(dense, modules: modules, sparse: sparse)
    contents.metadata["quantization_config"] = settings.text()
    if var object = configuration.objectValue {
      object["quantization_config"] = settings
      contents.configuration = JSONValue.object(object).text(indent: 2) + "\n"
    }
    return contents
  }

  private func sparseConfiguration(_ dense: Checkpoint, modules: Set<String>, sparse: [StoredTensor])
    -> JSONValue
  {
    var top = JSONObject([("quant_method", .string("compressed-tensors"))])
    if dense.tensors.contains(where: \.format.isQuantized),
      case .object(let object) = dense.quantizationConfiguration(.compressedTensors)
    {
      top = object
      top["format"] = .string("int-quantized")
      let groups = (object["config_groups"]?.objectValue?.members ?? []).map { name, group in
        var group = group.objectValue ?? JSONObject()
        group["format"] = .string("int-quantized")
        return (name, JSONValue.object(group))
      }
      top["config_groups"] = .object(JSONObject(groups))
    }
    let kept = sparse.reduce(0) { $0 + ($1.keptLimit ?? 0) }
    let all = sparse.reduce(0) { $0 + $1.elementCount }
    var ignored = tensors.filter { $0.shape.count == 2 && $0.name.hasSuffix(".weight") }
      .map { String($0.name.dropLast(".weight".count)) }.filter { !modules.contains($0) }
    if let output = architecture?.tie?.output { ignored.append(String(output.dropLast(".weight".count))) }
    top["sparsity_config"] = .object(
      JSONObject([
        ("format", .string(SparseBitmask.name)), ("targets", .array([.string("Linear")])),
        ("ignore", .array(ignored.map { .string($0) })),
        ("global_sparsity", .number(1 - Double(kept) / Double(max(1, all)))),
        ("sparsity_structure", .string("unstructured")),
      ]))
    return .object(top)
  }
}
