package import ModelFiles
import TensorCore

extension Checkpoint {
  /// The smaller model that `cut` leaves: tensors cut together, blocks counted anew, the configuration true. Bytes are gathered when
  /// they are asked for.
  ///
  /// - Throws: ``ModelError`` when the architecture cannot be cut, a tensor is quantized, or shapes would not agree.
  /// - Precondition: the units are in range, ascending, and as many in each block.
  package func cutting(_ cut: StructureCut) throws -> Checkpoint {
    guard let architecture = architecture as? any ResizableArchitecture,
      let object = configuration.objectValue
    else {
      throw ModelError(.unsupported, source.path, "models of this architecture cannot be made smaller here")
    }
    let smaller = JSONValue.object(
      architecture.configuration(object, keepingBlocks: cut.blocks, sizes: cut.sizes))
    var gathers = Gathers()
    for member in architecture.coupledTensors(.width, block: 0) {
      gathers.add(member, cut.units(.width, place: 0))
    }
    var names: [String: String] = [:]
    for (place, block) in cut.blocks.enumerated() {
      for kind in [StructureKind.heads, .neurons] {
        for member in architecture.coupledTensors(kind, block: block) {
          gathers.add(member, cut.units(kind, place: place))
        }
      }
      names[architecture.blockPrefix(block)] = architecture.blockPrefix(place)
    }
    let old = Set((0..<architecture.blockCount).map(architecture.blockPrefix))
    var result = self
    result.tensors = try tensors.compactMap { tensor in
      guard let prefix = old.first(where: { tensor.name.hasPrefix($0) }) else {
        return try gathers.cut(tensor)
      }
      guard let new = names[prefix] else { return nil }
      var copy = try gathers.cut(tensor)
      copy.name = new + tensor.name.dropFirst(prefix.count)
      return copy
    }
    result.configuration = smaller
    result.architecture = try type(of: architecture).init(configuration: smaller)
    result.feedForwardWidthBeforePadding = nil
    try result.checkShapes()
    return result
  }

  private func checkShapes() throws {
    let found = Dictionary(tensors.map { ($0.name, $0.shape) }, uniquingKeysWith: { first, _ in first })
    for (name, shape) in architecture?.requiredTensors ?? [] where found[name] != shape {
      throw ModelError(
        .wrongShape, source.path,
        "tensor '\(name)' would be \(found[name].map { StoredTensor.text($0) } ?? "missing") instead of "
          + StoredTensor.text(shape))
    }
  }

  /// Which rows and columns of each tensor are kept.
  private struct Gathers {
    private var rows: [String: [Int]] = [:]
    private var columns: [String: [Int]] = [:]

    mutating func add(_ member: CoupledTensor, _ units: [Int]?) {
      guard let units else { return }
      let places = units.flatMap { $0 * member.length..<($0 + 1) * member.length }
      switch member.axis {
      case .rows: rows[member.name] = places
      case .columns: columns[member.name] = places
      }
    }

    func cut(_ tensor: StoredTensor) throws -> StoredTensor {
      var result = tensor
      let size = tensor.format.bytesPerBlock
      for (places, isColumns) in [(rows[tensor.name], false), (columns[tensor.name], true)] {
        guard let places else { continue }
        guard tensor.format.isFloat else {
          throw ModelError(
            .unsupported, "",
            "tensor '\(tensor.name)' is already quantized (\(tensor.format.rawValue)): cut first, then quantize"
          )
        }
        result =
          isColumns
          ? result.gatheringColumns(places, elementBytes: size) : result.gatheringSomeRows(places)
      }
      return result
    }
  }
}

extension StoredTensor {
  /// Some of the rows, or of a vector's elements.
  fileprivate func gatheringSomeRows(_ order: [Int]) -> StoredTensor {
    let (original, size) = (bytes, bytes.count / max(1, shape.first ?? 1))
    var result = self
    if !shape.isEmpty { result.shape[0] = order.count }
    result.bytes = TensorBytes(count: order.count * size) {
      let stored = try original.load()
      return ByteRegion(count: order.count * size) { target in
        guard let base = target.baseAddress else { return }
        for (place, row) in order.enumerated() {
          (base + place * size).copyMemory(from: stored.base + row * size, byteCount: size)
        }
      }
    }
    return result
  }

  /// Some of the columns.
  fileprivate func gatheringColumns(_ order: [Int], elementBytes size: Int) -> StoredTensor {
    let (original, rows, before) = (bytes, rowCount, rowLength * size)
    let after = order.count * size
    var result = self
    if !shape.isEmpty { result.shape[shape.count - 1] = order.count }
    result.bytes = TensorBytes(count: rows * after) {
      let stored = try original.load()
      return ByteRegion(count: rows * after) { target in
        guard let base = target.baseAddress else { return }
        for row in 0..<rows {
          for (place, column) in order.enumerated() {
            (base + row * after + place * size).copyMemory(
              from: stored.base + row * before + column * size, byteCount: size)
          }
        }
      }
    }
    return result
  }
}
