/* A drive that is not there: answers the ioctls of hdparm and nvme-cli with bytes from files, so that
   the real tools print what they would print for such a drive. See README.md beside it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <scsi/sg.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <linux/types.h>
#include <linux/nvme_ioctl.h>

static void from_file(const char *name, void *to, size_t size) {
    char path[512];
    memset(to, 0, size);
    snprintf(path, sizeof path, "%s/%s", getenv("DRIVE"), name);
    FILE *file = fopen(path, "rb");
    if (file) { size_t got = fread(to, 1, size, file); (void)got; fclose(file); }
}

/* What was sent to the drive: one line a command, in hexadecimal, and the first bytes of its data. */
static void note(const char *kind, const uint8_t *command, size_t length, const uint8_t *data,
                 size_t size) {
    char path[512];
    snprintf(path, sizeof path, "%s/sent", getenv("DRIVE"));
    FILE *file = fopen(path, "a");
    if (!file) return;
    fprintf(file, "%s ", kind);
    for (size_t i = 0; i < length; i++) fprintf(file, "%02x", command[i]);
    fprintf(file, " ");
    for (size_t i = 0; data && i < size && i < 40; i++) fprintf(file, "%02x", data[i]);
    fprintf(file, "\n");
    fclose(file);
}

/* SAT: descriptor sense data with an ATA status return descriptor, type 09h. */
static int ata(sg_io_hdr_t *io) {
    uint8_t command = io->cmdp[14], registers[12];
    char name[16];
    snprintf(name, sizeof name, "%02x", command);
    note("ata", io->cmdp, io->cmd_len, io->dxfer_direction == SG_DXFER_TO_DEV ? io->dxferp : 0,
         io->dxfer_len);
    if (io->dxfer_len && io->dxferp && io->dxfer_direction != SG_DXFER_TO_DEV) from_file(name, io->dxferp, io->dxfer_len);
    snprintf(name, sizeof name, "%02x.regs", command);
    from_file(name, registers, sizeof registers);
    uint8_t sense[22] = {0x72, 1, 0, 0x1d, 0, 0, 0, 14, 0x09, 0x0c};
    memcpy(sense + 10, registers, 12);
    if (!sense[21]) sense[21] = 0x50;
    if (io->sbp) memcpy(io->sbp, sense, sizeof sense < io->mx_sb_len ? sizeof sense : io->mx_sb_len);
    io->status = 2; io->driver_status = 8; io->host_status = 0; io->sb_len_wr = sizeof sense;
    return 0;
}

static int nvme(struct nvme_admin_cmd *cmd) {
    char name[32];
    note("nvme", (uint8_t *)cmd, 64, 0, 0);
    if (cmd->opcode == 0x06) snprintf(name, sizeof name, "identify-%u", cmd->cdw10 & 255);
    else snprintf(name, sizeof name, "log-%02x", cmd->cdw10 & 255);
    if (cmd->addr) from_file(name, (void *)(uintptr_t)cmd->addr, cmd->data_len);
    cmd->result = 0;
    return 0;
}

int ioctl(int fd, unsigned long request, ...) {
    va_list list; va_start(list, request); void *arg = va_arg(list, void *); va_end(list);
    if (request == SG_IO) return ata(arg);
    if (request == NVME_IOCTL_ADMIN_CMD || request == NVME_IOCTL_ADMIN64_CMD) return nvme(arg);
    if (request == NVME_IOCTL_ID) return 1;
    int (*real)(int, unsigned long, ...) = dlsym(RTLD_NEXT, "ioctl");
    return real(fd, request, arg);
}
