// Simulated: a small real module that asks for EFA's devices and takes none.
#include <linux/module.h>
#include <linux/pci.h>

static const struct pci_device_id ids[] = {
	{ PCI_VDEVICE(AMAZON, 0xefa0) }, { PCI_VDEVICE(AMAZON, 0xefa1) }, { PCI_VDEVICE(AMAZON, 0xefa2) },
	{ PCI_VDEVICE(AMAZON, 0xefa3) }, { PCI_VDEVICE(AMAZON, 0xefa4) }, { }
};
MODULE_DEVICE_TABLE(pci, ids);
MODULE_DESCRIPTION("Elastic Fabric Adapter (EFA), simulated");
MODULE_LICENSE("Dual BSD/GPL");
MODULE_VERSION(EFA_VERSION "g");

static int probe(struct pci_dev *device, const struct pci_device_id *id)
{
	return -ENODEV;
}

static struct pci_driver efa = { .name = "efa", .id_table = ids, .probe = probe };
module_pci_driver(efa);
